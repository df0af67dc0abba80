"""A ViT-Ti with patches of 16 pixels, fitted to the task's own images.

`configs/small_vit/small_vit_teacher.py` trains it from scratch; SMALL_VIT
names its `student.pth`. It sees the student's 96 px: 6 x 6 tokens, 192-d.
"""

teacher = dict(
    type='TimmTeacher',
    model_name='vit_tiny_patch16_224',
    checkpoint='{{$SMALL_VIT:work_dirs/small_vit/student.pth}}',
    num_classes='auto',
    img_size=96,
    input_size=96,
    # As it was trained, and not as timm's weights of that name were.
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)
