"""Projector, BatchNorm and a logarithm (arXiv 2303.11098).

Weight 2: the paper has twice the logarithm.
"""

_base_ = './fitnet.py'

method = dict(
    terms=dict(hint=dict(loss=dict(_delete_=True, type='LogSum'), weight=2.0))
)
