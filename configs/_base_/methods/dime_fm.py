"""DIME-FM: images and texts, unpaired; the released weights.

A config that takes it adds `TextCorpusHook` to its hooks.
"""

method = dict(
    type='DIMEFM',
    vl_weight=0.7,
    pvl_weight=0.3,
    udist_weight=0.0,
    logit_scale=100.0,
)
