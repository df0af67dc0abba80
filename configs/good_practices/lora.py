"""The same, with LoRA matrices of the teacher trained on the task.

Adaptation in place of the probe: `tools/adapt_teacher.py --mode lora` with
this config writes the file.
"""

_base_ = './norm_layers.py'

model = dict(
    teacher=dict(
        teacher=dict(
            adaptation=f'{_base_.heads}/lora_{_base_.whose}.safetensors',
        )
    )
)
