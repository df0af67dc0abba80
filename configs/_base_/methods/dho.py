"""DHO (arXiv 2505.07675): one head for labels, one for the teacher.

`FoldHeadsHook` in the config makes them one plain layer in the end
(docs/methods.md, Heads). Weights and T are the authors' code's.
"""

method = dict(
    type='Distiller',
    supervised_weight=0.5,
    networks=dict(
        probe=dict(type='LinearProbe'),
        kd=dict(type='StudentHead', of='student.feature'),
    ),
    terms=dict(
        probe=dict(
            loss=dict(type='CrossEntropy'),
            on=('probe.logits', 'batch.targets'),
            streams='labelled',
        ),
        kd_labelled=dict(
            loss=dict(type='KLDivergence', temperature=2.0),
            on=('kd.logits', 'probe.logits'),
            streams='labelled',
            weight=0.5,
        ),
        kd_unlabelled=dict(
            loss=dict(type='KLDivergence', temperature=2.0),
            on=('kd.logits', 'probe.logits'),
            streams='unlabelled',
            weight=0.5,
        ),
    ),
)
