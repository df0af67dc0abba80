"""A folder of domains in 20 epochs without a teacher, for the baselines.

The `strong` view is made where a method asks for it: a crop of its own and
RandAugment with the values of MMPretrain's recipes (ours for this use).
"""

_base_ = [
    '../datasets/domain_folder_96.py',
    '../students/mobilenet_v3_small.py',
    '../schedules/adamw_short.py',
    '../default_runtime.py',
]

strong_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(
        type='RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
    ),
    _base_.train_pipeline[-1],
]

train_dataloader = dict(
    dataset=dict(
        pipelines=dict(strong=strong_pipeline), independent=('strong',)
    ),
    # Nothing is kept of any view, so every image is augmented anew.
    sampler=dict(num_views=None),
)

model = dict(student=_base_.student, input_size=_base_.image_size)
