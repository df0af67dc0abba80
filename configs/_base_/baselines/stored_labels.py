"""Soft targets out of a file, by any model: `save_soft_labels` writes it.

The file is LABELS; T = 1 and weight 1 are ours.
"""

method = dict(
    type='Distiller',
    networks=dict(
        labels=dict(
            type='SoftLabels',
            file='{{$LABELS:work_dirs/soft_labels.safetensors}}',
        )
    ),
    terms=dict(
        kd=dict(
            loss=dict(type='KLDivergence', temperature=1.0),
            on=('student.logits', 'labels.logits'),
        ),
    ),
)
