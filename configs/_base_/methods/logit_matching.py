"""The probe's logits themselves, by their squared error; weight 1 is ours."""

_base_ = './soft_target.py'

method = dict(terms=dict(kd=dict(loss=dict(_delete_=True, type='MSE'))))
