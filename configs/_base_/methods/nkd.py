"""NKD (arXiv 2303.13005): the target's own share, and the others' apart.

gamma 1.5 and T = 1 are second-hand (docs/methods.md, Predictions).
"""

_base_ = './soft_target.py'

method = dict(terms=dict(kd=dict(loss=dict(_delete_=True, type='NKD'))))
