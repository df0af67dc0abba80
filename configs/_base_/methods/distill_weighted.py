"""DistillWeighted (arXiv 2304.12314): source models by how well they suit.

Each source, with the classes that it was trained on, has a head of the
student's, which is thrown away; `WeighSourcesHook` in the config finds the
shares. Half for the labels is ours.
"""

sources = ('first', 'second')

method = dict(
    type='Distiller',
    supervised_weight=0.5,
    networks={
        f'{name}_head': dict(type='StudentHead', like=f'{name}.logits')
        for name in sources
    },
    terms={
        name: dict(
            loss=dict(type='KLDivergence', temperature=1.0),
            on=(f'{name}_head.logits', f'{name}.logits'),
            weight=dict(type='SourceWeight', weight=0.5),
        )
        for name in sources
    },
)
