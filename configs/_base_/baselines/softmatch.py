"""SoftMatch (arXiv 2301.10921) on the student's own two views.

The weak view's soft labels teach the strong view, each weighted by how sure it
is. Soft labels in place of hard ones, no alignment of the classes and the
momentum, for some hundred steps, are ours (docs/methods.md, Predictions).
"""

method = dict(
    type='Distiller',
    terms=dict(
        consistency=dict(
            loss=dict(type='ConfidentCrossEntropy', momentum=0.99),
            on=('student@strong.logits', 'student.logits'),
            streams='unlabelled',
        ),
    ),
)
