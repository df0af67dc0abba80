"""ScaleKD (arXiv 2411.06786) from a ViT, BEiT, DINO or Swin teacher.

Two places, two views, the teacher's own last blocks. The soft labels are a
linear probe's, trained alongside, so that the teacher needs no head; that,
and the weights 4 and 2.5 of means over positions, are ours.
"""

method = dict(
    type='ScaleKD',
    soft_labels='probe.logits',
    networks=dict(probe=dict(type='LinearProbe')),
    terms=dict(
        probe=dict(
            loss=dict(type='CrossEntropy'),
            on=('probe.logits', 'batch.targets'),
            streams='labelled',
        )
    ),
)
