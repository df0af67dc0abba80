"""Solar cells as two domains at 96 px: SOURCE's cells alone are labelled.

SOURCE and TARGET are `mono` and `poly`, the two types of cell. Trained on are
the training cells of both, evaluated the EVAL_SPLIT cells of TARGET: its test
cells, in neither stream; `val`, to choose by; `train`, the unlabelled cells
themselves, which is the transductive number.
"""

_base_ = './elpv_96.py'

source = '{{$SOURCE:mono}}'
target = '{{$TARGET:poly}}'
task = f'elpv {source}->{target}, {_base_.eval_split} cells'

labelled = dict(_base_.unlabelled, domain=source)
unlabelled = dict(_base_.unlabelled, domain=target)

train_dataloader = dict(
    batch_size=128,
    dataset=dict(
        labelled=dict(_delete_=True, **labelled), unlabelled=unlabelled
    ),
    sampler=dict(labelled=64, num_views=4),
)
val_dataloader = dict(dataset=dict(domain=target))
test_dataloader = val_dataloader

auto_scale_lr = dict(base_batch_size=128)
