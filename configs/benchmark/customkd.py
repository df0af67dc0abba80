"""CustomKD as the paper has it: two feature terms."""

_base_ = [
    '../_base_/tasks/{{$DATA:domain_folder}}_{{$VIEW:clean192}}_mbv3.py',
    '../_base_/schedules/adamw_short_alternating.py',
]

# The propagated labels are for SelectionHook alone.
model = dict(
    type='CustomKD',
    general_weight=20.0,
    specific_weight=5.0,
    networks=dict(propagated=dict(type='PropagatedLabels')),
)
custom_hooks = [*_base_.custom_hooks, dict(type='SelectionHook')]
