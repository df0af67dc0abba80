"""MDCS (arXiv 2308.09922): experts of common, of all and of rare classes.

The student's own head and two more, whose logits are balanced by 1, -.5 and
2.5 times the logarithms of the classes' sizes. Each learns on a strong view
from its own answer to the usual one where that is right. `FoldHeadsHook` in
the config makes their mean one plain layer in the end.
"""

heads = dict(common=-0.5, rare=2.5)
logits = dict(
    student=('student.logits', 1.0),
    **{name: (f'{name}.logits', by) for name, by in heads.items()},
)

method = dict(
    type='Distiller',
    # The head's own cross entropy gives way to the balanced one.
    supervised_weight=0.0,
    networks={name: dict(type='StudentHead') for name in heads},
    terms={
        **{
            f'{name}_labels': dict(
                loss=dict(type='BalancedCrossEntropy', exponent=by),
                on=(said, 'batch.targets'),
                streams='labelled',
            )
            for name, (said, by) in logits.items()
        },
        **{
            f'{name}_strong': dict(
                loss=dict(type='BetterPeer', where='right'),
                on=(said.replace('.', '@strong.'), said),
                streams='labelled',
            )
            for name, (said, _) in logits.items()
        },
    },
)
