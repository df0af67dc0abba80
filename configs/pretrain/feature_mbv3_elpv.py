"""No label: the student learns the teacher's feature of all solar cells.

Another run on the same cells starts from its `student.pth` (docs/methods.md,
Averages, statistics and starts). The last layer is untrained, so nothing is
evaluated.
"""

_base_ = [
    '../_base_/tasks/elpv_mbv3.py',
    '../_base_/schedules/adamw_short.py',
    '../_base_/methods/fitnet.py',
]

model = dict(**_base_.method, supervised_weight=0.0)
train_cfg = dict(max_epochs=14, val_begin=1_000_000)
