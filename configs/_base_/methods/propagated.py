"""CustomKD with labels propagated over the teacher's features.

What it adds to the paper's method is ours (docs/methods.md, Propagated
labels): soft labels of all unlabelled images, known before the first step,
teach the student and customize the feature to the target as well; the
customized teacher's own predictions are a third target; and feature terms are
shares of their target's variance, so that one set of weights serves every
teacher. What is said of the classes counts only where a probe of the teacher
is right about held-out labelled images; elsewhere the features alone teach.
"""

trusted = dict(type='TrustedWeight')

method = dict(
    type='CustomKD',
    general_weight=1.0,
    specific_weight=1.0,
    feature_loss=dict(type='MSE', relative=True),
    customize_on='all',
    prediction=dict(type='KLDivergence', temperature=1.0),
    prediction_weight=trusted,
    networks=dict(propagated=dict(type='PropagatedLabels')),
    terms=dict(
        propagated=dict(
            loss=dict(type='CrossEntropy'),
            on=('student.logits', 'propagated.more.labels'),
            weight=trusted,
            streams='unlabelled',
        ),
        target=dict(
            loss=dict(type='CrossEntropy'),
            on=(
                'teacher.more.customized_logits',
                'propagated.more.labels',
            ),
            weight=trusted,
            streams='unlabelled',
            stage='customization',
        ),
    ),
)
