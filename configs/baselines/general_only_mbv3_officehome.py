"""CustomKD without customization on OfficeHome: the general term only."""

_base_ = '../customkd_mbv3_officehome.py'

model = dict(specific_weight=0.0)
