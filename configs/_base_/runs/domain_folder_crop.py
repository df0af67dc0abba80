"""A folder of domains in 20 epochs; the teacher sees the student's crop.

For methods on maps and tokens, whose positions have to show the same: four
views at 96 px, asked once each and kept, see domain_folder.py. Of the maps it
is the last, on the grid of the student's last one.
"""

_base_ = ['../tasks/domain_folder_mbv3.py', '../schedules/adamw_short.py']

cache = '{{$TEACHER_CACHE:none}}'
whose = '{{$TEACHER:efficientnet_lite2}}'
folder = f'{cache}/{whose}_{_base_.source}_{_base_.target}_{_base_.seed}'

model = dict(
    teacher=dict(
        teacher=dict(map_indices=[-1]),
        cache_dir=None if cache == 'none' else folder,
        # What any of these methods asks for, so that all keep the same.
        outputs=['feature', 'tokens', 'maps'],
    )
)
