"""The task-general term alone."""

_base_ = [
    '../_base_/tasks/{{$DATA:domain_folder}}_{{$VIEW:clean192}}_mbv3.py',
    '../_base_/schedules/adamw_short.py',
    '../_base_/methods/fitnet.py',
]

model = dict(**_base_.method)
