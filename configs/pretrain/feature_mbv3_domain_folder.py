"""No label: the student learns the teacher's feature of all images.

Another run on the same images starts from its `student.pth`
(docs/methods.md, Averages, statistics and starts). The head is trained but
for its last layer, so nothing is evaluated.
"""

_base_ = [
    '../_base_/tasks/domain_folder_mbv3.py',
    '../_base_/schedules/adamw_short.py',
    '../_base_/methods/fitnet.py',
]

model = dict(**_base_.method, supervised_weight=0.0)
train_cfg = dict(val_begin=1_000_000)
