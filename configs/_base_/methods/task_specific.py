"""Good practices for task-specific distillation: (1 - a) CE + a KL.

The probe is trained alongside (a file of `tools/probe_teacher.py` is the
paper's order, docs/methods.md, Task-specific distillation). a = 0.5 and T = 2
are ours, in the middle of what is worth a search.
"""

_base_ = './soft_target.py'

method = dict(
    supervised_weight=0.5,
    terms=dict(kd=dict(loss=dict(temperature=2.0), weight=0.5)),
)
