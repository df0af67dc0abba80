"""Decoupled knowledge distillation of a probe of the teacher."""

_base_ = [
    '../_base_/tasks/{{$DATA:domain_folder}}_{{$VIEW:clean192}}_mbv3.py',
    '../_base_/schedules/adamw_short.py',
    '../_base_/methods/dkd.py',
]

model = dict(**_base_.method)
