"""The recipe that wins on a folder of domains (docs/results.md)."""

_base_ = [
    './_base_/tasks/domain_folder_clean192_mbv3.py',
    './_base_/schedules/adamw_short_alternating.py',
    './_base_/methods/propagated.py',
]

model = dict(**_base_.method)
