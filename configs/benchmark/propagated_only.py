"""Propagated labels alone, no feature term."""

_base_ = [
    '../_base_/tasks/{{$DATA:domain_folder}}_{{$VIEW:clean192}}_mbv3.py',
    '../_base_/schedules/adamw_short.py',
]

model = dict(
    type='Distiller',
    networks=dict(propagated=dict(type='PropagatedLabels')),
    terms=dict(
        propagated=dict(
            loss=dict(type='CrossEntropy'),
            on=('student.logits', 'propagated.more.labels'),
            streams='unlabelled',
        ),
    ),
)
custom_hooks = [*_base_.custom_hooks, dict(type='SelectionHook')]
