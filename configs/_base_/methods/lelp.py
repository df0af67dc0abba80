"""LELP (arXiv 2409.20449): the teacher's classes in pseudo-subclasses.

`SubclassHook` in the config finds them. The head that tells them apart is
thrown away, the student's own ships; that, and weight 1, are ours.
"""

method = dict(
    type='Distiller',
    networks=dict(
        probe=dict(type='LinearProbe'),
        subclasses=dict(type='SubclassHead', logits='probe.logits'),
    ),
    terms=dict(
        probe=dict(
            loss=dict(type='CrossEntropy'),
            on=('probe.logits', 'batch.targets'),
            streams='labelled',
        ),
        subclasses=dict(
            loss=dict(type='CrossEntropy'),
            on=('subclasses.logits', 'subclasses.more.labels'),
        ),
    ),
)
