"""And propagated labels for the student."""

_base_ = './recipe_2_relative.py'

model = dict(
    terms=dict(
        propagated=dict(
            loss=dict(type='CrossEntropy'),
            on=('student.logits', 'propagated.more.labels'),
            streams='unlabelled',
        ),
    ),
)
