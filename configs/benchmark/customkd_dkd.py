"""CustomKD and DKD of the customized teacher's predictions."""

_base_ = './customkd.py'

model = dict(prediction=dict(type='DKD'))
