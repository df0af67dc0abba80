"""The true labels of the unlabelled images, and the task-general term.

The bound of this student and schedule, for a folder of domains: nothing that
is known of the unlabelled images can say more.
"""

_base_ = './task_general.py'

train_dataloader = dict(
    dataset=dict(
        labelled=dict(domain=f'{_base_.source},{_base_.target}'),
        unlabelled=None,
    ),
    sampler=dict(
        streams=('labelled',), labelled=128, unlabelled=0, epoch_length=32
    ),
)
