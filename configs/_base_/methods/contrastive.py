"""CRD's contrast (arXiv 1910.10699) within the batch.

InfoNCE in place of a memory of negatives, and the weight, are ours.
"""

_base_ = './fitnet.py'

method = dict(
    terms=dict(
        hint=dict(loss=dict(_delete_=True, type='Contrastive'), weight=0.5)
    )
)
