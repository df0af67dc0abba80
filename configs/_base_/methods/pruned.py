"""Distillation where a share KEEP of the labelled images is left.

(1 - a) CE + a KL, with an a that grows as the share shrinks (arXiv 2403.07854,
whose rule is not public here); a = 1 - KEEP / 2 is ours: a half of all, 1 of
nothing.
"""

_base_ = './soft_target.py'

keep = {{'$KEEP:0.5'}}
alpha = 1 - keep / 2

method = dict(
    supervised_weight=1 - alpha,
    terms=dict(kd=dict(loss=dict(temperature=2.0), weight=alpha)),
)
