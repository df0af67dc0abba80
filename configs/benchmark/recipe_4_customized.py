"""And the feature is customized to the unlabelled images as well."""

_base_ = './recipe_3_propagated.py'

model = dict(
    customize_on='all',
    terms=dict(
        target=dict(
            loss=dict(type='CrossEntropy'),
            on=(
                'teacher.more.customized_logits',
                'propagated.more.labels',
            ),
            streams='unlabelled',
            stage='customization',
        ),
    ),
)
