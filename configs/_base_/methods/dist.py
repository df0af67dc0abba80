"""DIST (arXiv 2205.10536): correlations of rows and of columns.

Weight 1 is ours.
"""

_base_ = './soft_target.py'

method = dict(terms=dict(kd=dict(loss=dict(_delete_=True, type='DIST'))))
