"""One less the cosine to the teacher's feature; weight 1 is ours."""

_base_ = './fitnet.py'

method = dict(
    terms=dict(hint=dict(loss=dict(_delete_=True, type='Cosine'), weight=1.0))
)
