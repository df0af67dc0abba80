"""CustomKD without customization on a folder of domains: general term only."""

_base_ = '../customkd_mbv3_domain_folder.py'

model = dict(specific_weight=0.0)
