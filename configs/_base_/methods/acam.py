"""ACAM-KD's masked features on the last maps; weight ours."""

_base_ = './fitnet.py'

method = dict(
    terms=dict(
        hint=dict(
            loss=dict(_delete_=True, type='MaskedMSE'),
            on=('student.maps.-1', 'teacher.maps.-1'),
            connector=dict(_delete_=True, type='SpatialConnector'),
            weight=1.0,
        )
    )
)
