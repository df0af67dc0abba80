"""ScaleKD, Swin-L to Mixer-B on ImageNet; the paper has 81.96."""

_base_ = [
    '../_base_/datasets/imagenet_mixer.py',
    '../_base_/students/mixer_base.py',
    '../_base_/tasks/imagenet_swin_large.py',
    '../_base_/schedules/adamw_300.py',
    '../_base_/methods/scalekd_swin_large_transformer.py',
]

# The authors' stages; without it the third is block 8.
model = dict(
    **_base_.method, student=_base_.student, map_indices=(5, 7, 9, 11)
)
