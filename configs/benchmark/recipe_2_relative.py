"""And feature terms in shares of the target's variance."""

_base_ = './recipe_1_prediction.py'

model = dict(
    general_weight=1.0,
    specific_weight=1.0,
    feature_loss=dict(type='MSE', relative=True),
)
