"""Hybrid Distillation (arXiv 2306.15876): relations and features.

Both from one teacher where the paper has two (`teachers=`); relations of the
tokens with themselves, and the weights, are ours.
"""

method = dict(
    type='Distiller',
    terms=dict(
        relation=dict(
            loss=dict(type='TokenRelation'),
            on=('student.tokens', 'teacher.tokens'),
        ),
        contrast=dict(
            loss=dict(type='SmoothL1'),
            on='feature',
            connector=dict(type='LinearConnector'),
            weight=20.0,
        ),
    ),
)
