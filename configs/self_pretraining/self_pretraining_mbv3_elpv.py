"""Self-distillation after further pre-training on ELPV solar cells.

FURTHER is the student of configs/pretrain/feature_mbv3_elpv.py,
trained with `--cfg-options model.student.init_cfg.type=SeededStart`: it
started where this one does. What comes of this is where another run starts.
The last layer is untrained, so nothing is evaluated.
"""

_base_ = [
    '../_base_/runs/elpv_alone.py',
    '../_base_/methods/self_pretraining.py',
]

model = dict(
    **_base_.method,
    student=dict(init_cfg=dict(type='SeededStart')),
    teacher=dict(
        type='MMPretrainTeacher',
        model=_base_.student,
        checkpoint='{{$FURTHER:work_dirs/feature_mbv3_elpv/student.pth}}',
        data_preprocessor=_base_.data_preprocessor,
    ),
)
train_cfg = dict(val_begin=1_000_000)
