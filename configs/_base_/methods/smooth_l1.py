"""The teacher's feature by a smooth L1 through a connector; weight ours."""

_base_ = './fitnet.py'

method = dict(terms=dict(hint=dict(loss=dict(_delete_=True, type='SmoothL1'))))
