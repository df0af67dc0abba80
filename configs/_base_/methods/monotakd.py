"""MonoTAKD (arXiv 2404.04910): through an assistant, and what it lacks.

The assistant, a MobileNetV3-large, learns from the teacher and from labels
while the student learns from it; .2 of the residual is second-hand, the weight
20 of all three ours.
"""

method = dict(
    type='Distiller',
    networks=dict(
        assistant=dict(
            type='Assistant',
            model=dict(
                type='ImageClassifier',
                backbone=dict(
                    type='MobileNetV3',
                    arch='large',
                    norm_cfg=dict(type='BN', eps=1e-3, momentum=0.1),
                ),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(
                    type='StackedLinearClsHead',
                    num_classes='auto',
                    in_channels=960,
                    mid_channels=[1280],
                    act_cfg=dict(type='HSwish'),
                ),
            ),
        )
    ),
    terms=dict(
        labels=dict(
            loss=dict(type='CrossEntropy'),
            on=('assistant.logits', 'batch.targets'),
            streams='labelled',
        ),
        learn=dict(
            loss=dict(type='MSE'),
            on=('assistant.more.taught', 'teacher.feature'),
            weight=20.0,
        ),
        assist=dict(
            loss=dict(type='MSE'),
            on=('student.feature', 'assistant.more.taught'),
            connector=dict(type='LinearConnector'),
            weight=20.0,
        ),
        residual=dict(
            loss=dict(type='MSE'),
            on=('student.feature', 'assistant.more.residual'),
            connector=dict(type='LinearConnector'),
            weight=4.0,
        ),
    ),
)
