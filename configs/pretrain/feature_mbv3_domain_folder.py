"""No label: the student learns the teacher's feature of all images.

Another run on the same images starts from its `student.pth`
(docs/methods.md, Averages, statistics and starts). The head is trained but
for its last layer, so there is nothing to evaluate.
"""

_base_ = [
    '../_base_/tasks/domain_folder_mbv3.py',
    '../_base_/schedules/adamw_short.py',
    '../_base_/methods/fitnet.py',
]

model = dict(**_base_.method, supervised_weight=0.0)
val_dataloader = None
val_cfg = None
val_evaluator = None
