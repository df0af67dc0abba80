"""The same, with all weights of the teacher fine-tuned to the task.

Adaptation in place of the probe: `tools/adapt_teacher.py --mode full` with
this config writes the file.
"""

_base_ = './norm_layers.py'

model = dict(
    teacher=dict(
        teacher=dict(
            adaptation=f'{_base_.heads}/full_{_base_.whose}.safetensors',
        )
    )
)
