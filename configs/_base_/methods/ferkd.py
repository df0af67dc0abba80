"""FerKD (arXiv 2312.17473): the probe's confidence routes each image.

Its stored crops are the cache's views (docs/methods.md, Recipes).
"""

_base_ = './soft_target.py'

method = dict(terms=dict(kd=dict(loss=dict(_delete_=True, type='FerKD'))))
