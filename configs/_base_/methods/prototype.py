"""ProC-KD, MulKI: the feature and its prototypes; weight ours."""

_base_ = './fitnet.py'

method = dict(
    terms=dict(
        hint=dict(
            loss=dict(_delete_=True, type='MSE'),
            connector=dict(_delete_=True, type='PrototypeConnector'),
            weight=20.0,
        )
    )
)
