"""ImageNet at 224 px, 10 % of its training images labelled.

Like `imagenet_1pct.py`, with SimCLR's list of 10 %.
"""

_base_ = './imagenet_1pct.py'

label_list = '{{$LABEL_LIST:meta/10percent.txt}}'
label_fraction = 0.1
task = f'imagenet, {label_fraction:.0%} of the labels ({label_list})'

train_dataloader = dict(
    dataset=dict(
        labelled=dict(
            ann_file=None if label_list == 'draw' else label_list,
            fraction=label_fraction if label_list == 'draw' else None,
        ),
    ),
)
