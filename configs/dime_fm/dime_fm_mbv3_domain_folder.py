"""DIME-FM on a folder of domains, with prompts of its classes for a corpus.

For the mechanics: some hundred prompts are no corpus. The images of SOURCE and
TARGET are the images, without their labels.
"""

_base_ = [
    '../_base_/datasets/domain_folder_96_clean192.py',
    '../_base_/students/mobilenet_v3_small.py',
    '../_base_/teachers/{{$TEACHER:openclip_vitb16}}.py',
    '../_base_/schedules/adamw_short.py',
    '../_base_/methods/dime_fm.py',
    '../_base_/default_runtime.py',
]

model = dict(
    **_base_.method,
    # The last layer gives an embedding as wide as the teacher's.
    student=dict(
        _base_.student, head=dict(_base_.student.head, num_classes=512)
    ),
    teacher=dict(type='CachedTeacher', teacher=_base_.teacher),
    networks=dict(
        text=dict(type='TextCorpus', class_names='auto', templates='diverse')
    ),
    input_size=_base_.image_size,
)
custom_hooks = [*_base_.custom_hooks, dict(type='TextCorpusHook')]

# tools/zero_shot.py evaluates; in between a student has no classes.
train_cfg = dict(val_begin=1_000_000)
