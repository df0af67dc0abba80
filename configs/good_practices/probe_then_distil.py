"""Probe, then distil, in one run.

The probe is fitted to the labelled images before the first step; of the same
images it is the one that `tools/probe_teacher.py` writes for `probed.py`.
"""

_base_ = [
    '../_base_/tasks/domain_folder_clean192_mbv3.py',
    '../_base_/schedules/adamw_short.py',
]

custom_hooks = [
    *_base_.custom_hooks,
    dict(type='FitProbeHook'),
    dict(type='TeacherMetricsHook', network='probe'),
]

model = dict(
    type='Distiller',
    networks=dict(probe=dict(type='LinearProbe', fitted=True)),
    supervised_weight=0.5,
    terms=dict(
        kd=dict(
            loss=dict(type='KLDivergence', temperature=2.0),
            on=('student.logits', 'probe.logits'),
            weight=0.5,
        ),
    ),
)
