"""MEAL V2 (arXiv 2009.08453) and CV-DD: what several teachers agree on.

No label is learnt from: the mean of the teachers' probabilities is the whole
target. The divergence at temperature 1 has the gradient of MEAL V2's cross
entropy; its discriminator is left out (docs/more_methods.md, MEAL V2).
"""

method = dict(
    type='Distiller',
    supervised_weight=0.0,
    terms=dict(
        kd=dict(loss=dict(type='KLDivergence', temperature=1.0), on='logits')
    ),
)
