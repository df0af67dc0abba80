"""Variational information distillation (arXiv 1904.05835).

On the last feature; the weight is ours.
"""

_base_ = './fitnet.py'

method = dict(
    terms=dict(hint=dict(loss=dict(_delete_=True, type='VID'), weight=1.0))
)
