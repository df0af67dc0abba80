"""CustomKD, and the customized teacher's predictions as soft targets."""

_base_ = './customkd.py'

model = dict(prediction=dict(type='KLDivergence', temperature=1.0))
