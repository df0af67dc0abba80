"""Soft targets of a probe of the teacher."""

_base_ = [
    '../_base_/tasks/{{$DATA:domain_folder}}_{{$VIEW:clean192}}_mbv3.py',
    '../_base_/schedules/adamw_short.py',
    '../_base_/methods/soft_target.py',
]

model = dict(**_base_.method)
