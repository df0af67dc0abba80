"""A round of self-distillation with weighted ground truth.

The teacher is the student of the round before; a = .5 of the labels
(arXiv 2102.13088) on labelled images, its answers alone on the others. Both
are ours.
"""

method = dict(
    type='Distiller',
    supervised_weight=0.0,
    terms=dict(
        labels=dict(
            loss=dict(type='WeightedGroundTruth', alpha=0.5),
            on='logits',
            streams='labelled',
        ),
        others=dict(
            loss=dict(type='KLDivergence', temperature=1.0),
            on='logits',
            streams='unlabelled',
        ),
    ),
)
