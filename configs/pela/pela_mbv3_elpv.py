"""PELA on ELPV solar cells: half the numbers in the student's layers.

DENSE is the whole student, of any run that has the same one; it is the
teacher, and where the student starts.
"""

_base_ = ['../_base_/runs/elpv_alone.py', '../_base_/methods/pela.py']

model = dict(
    **_base_.method,
    student=dict(
        _delete_=True,
        type='LowRankStudent',
        model=_base_.student,
        checkpoint='{{$DENSE:work_dirs/labelled_only_mbv3_elpv/student.pth}}',
        ratio=2.0,
        input_size=_base_.image_size,
    ),
    teacher=dict(
        type='MMPretrainTeacher',
        model=_base_.student,
        checkpoint='{{$DENSE:work_dirs/labelled_only_mbv3_elpv/student.pth}}',
        data_preprocessor=_base_.data_preprocessor,
    ),
)
