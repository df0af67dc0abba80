"""SSLD's label-free loss (arXiv 2103.05959) beside the cross entropy.

Half of Jeffreys' divergence to the probe, over all images; weight 1 is ours.
"""

_base_ = './soft_target.py'

method = dict(
    terms=dict(
        kd=dict(
            loss=dict(_delete_=True, type='JensenShannon', mode='jeffreys')
        )
    )
)
