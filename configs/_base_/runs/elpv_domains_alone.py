"""Solar cells of two types in 20 epochs without a teacher.

For adaptation from SOURCE's cells to TARGET's.
"""

_base_ = [
    '../datasets/elpv_domains_96.py',
    '../students/mobilenet_v3_small.py',
    '../schedules/adamw_short.py',
    '../default_runtime.py',
]

# Nothing is kept of any view, so every image is augmented anew.
train_dataloader = dict(sampler=dict(num_views=None))

model = dict(student=_base_.student, input_size=_base_.image_size)
