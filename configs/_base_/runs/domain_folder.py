"""A folder of domains in 20 epochs; the teacher sees each image whole.

What methods on features and logits are compared in: one clean image at 192 px,
asked once and kept, in the run's work directory or, for all runs that name
it, below TEACHER_CACHE.
"""

_base_ = [
    '../tasks/domain_folder_clean192_mbv3.py',
    '../schedules/adamw_short.py',
]

cache = '{{$TEACHER_CACHE:none}}'
whose = '{{$TEACHER:efficientnet_lite2}}'
folder = f'{cache}/{whose}_{_base_.source}_{_base_.target}'

model = dict(teacher=dict(cache_dir=None if cache == 'none' else folder))
