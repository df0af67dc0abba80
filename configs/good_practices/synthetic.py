"""The same with the images of a generator in the distillation term alone.

SYNTHETIC is a folder with the images of any generator, such as that of
`tools/mix_images.py`; they have no labels, and are in no other term.
"""

_base_ = './probe_then_distil.py'

train_dataloader = dict(
    batch_size=192,
    dataset=dict(
        synthetic=dict(
            type='ImageFolder',
            data_root='{{$SYNTHETIC:work_dirs/mixed}}',
            pipeline=_base_.train_pipeline,
        )
    ),
    sampler=dict(synthetic=64),
)
auto_scale_lr = dict(base_batch_size=192)
