"""And the teacher's word on the classes only where its probe is right."""

_base_ = './recipe_4_customized.py'

trusted = dict(type='TrustedWeight')

model = dict(
    prediction_weight=trusted,
    terms=dict(propagated=dict(weight=trusted), target=dict(weight=trusted)),
)
