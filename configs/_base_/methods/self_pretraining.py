"""Further pre-training by self-distillation (arXiv 2210.02871), its last half.

The teacher is a copy of the student that was trained further without labels;
the student learns its features. Both start alike where the configs of both
runs draw them from a seed of their own, `student.init_cfg`.
"""

method = dict(
    type='Distiller',
    supervised_weight=0.0,
    terms=dict(
        feature=dict(loss=dict(type='MSE'), connector=None, weight=20.0)
    ),
)
