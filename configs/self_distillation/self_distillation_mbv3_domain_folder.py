"""A round of self-distillation on a folder of domains.

PREVIOUS is the student of the round before; the first teacher is that of
configs/labelled_only/labelled_only_mbv3_domain_folder.py.
"""

_base_ = [
    '../_base_/runs/domain_folder_alone.py',
    '../_base_/methods/self_distillation.py',
]

model = dict(
    **_base_.method,
    teacher=dict(
        type='MMPretrainTeacher',
        model=_base_.student,
        checkpoint='{{$PREVIOUS:work_dirs/labelled_only_mbv3_domain_folder/student.pth}}',
        data_preprocessor=_base_.data_preprocessor,
    ),
)
