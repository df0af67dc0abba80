"""CustomKD without customization on solar cells: the general term only."""

_base_ = '../customkd_mbv3_elpv.py'

model = dict(specific_weight=0.0)
