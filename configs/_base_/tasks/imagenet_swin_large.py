"""Swin-L teaches on ImageNet; data and student are the config's."""

_base_ = ['../teachers/{{$TEACHER:swin_large}}.py', '../default_runtime.py']

model = dict(teacher=_base_.teacher, input_size=224)

# One stage, in which everything is trained.
find_unused_parameters = False
