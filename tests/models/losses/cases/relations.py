"""Losses of how samples or positions relate to each other."""

import torch

from .case import (
    EARLIER,
    MAP,
    POSITIVE,
    SIZE,
    TOKENS,
    VECTOR,
    WORD,
    Case,
    deeper,
    each_size,
    kl,
    rows,
    wider,
)

MANY = ((7, 2), (7, 3, 2))


def streams(features):
    return torch.arange(len(features)) % 3


def similarity(s, t, y, size=1024, temperature=0.07):
    queue, s, t = ((x.T / x.norm(dim=1)).T for x in (EARLIER[:size], s, t))
    # As float32, in which the queue is kept.
    queue = queue.float().double()
    p, q = ((x @ queue.T / temperature).softmax(1) for x in (t, s))
    return kl(p, q)


def relation(s, t, y, heads=1):
    def softmax(x):
        parts = [p @ p.transpose(1, 2) for p in x.chunk(heads, 2)]
        return (torch.stack(parts, 1) / (x.shape[2] / heads) ** 0.5).softmax(3)

    return kl(softmax(t), softmax(s))


def attention(s, t, y, power=2.0):
    def look(x):
        sums = torch.stack([(rows(f).abs() ** power).sum(1) for f in x])
        return sums / (sums**2).sum(1, keepdim=True).sqrt()

    return (look(s) - look(t)) ** 2


def huber(x):
    return torch.where(x.abs() < 1, x**2 / 2, x.abs() - 0.5)


def relational(s, t, y, distance=1.0, angle=2.0):
    count, lengths, angles = len(s), [], []
    for x in (s, t):
        apart = torch.stack([(x - f).square().sum(1) for f in x])
        apart = torch.stack([d for d in apart.flatten() if d > 0]).sqrt()
        lengths.append(apart / apart.mean())
        angles.append(
            torch.stack(
                [
                    torch.cosine_similarity(a - v, b - v, 0)
                    for v in x
                    for a in x
                    for b in x
                    if a is not v and b is not v
                ]
            )
        )
    far = huber(lengths[0] - lengths[1]).sum() / count**2
    return distance * far + angle * huber(angles[0] - angles[1]).sum() / (
        count**3
    )


def gram(s, t, y, of='samples'):
    def one(f):
        """Row-normalised products of the rows of f."""
        products = torch.stack([f @ row for row in f])
        return (products.T / products.norm(dim=1)).T

    if of == 'samples':
        pairs = [(s.flatten(1), t.flatten(1))]
    elif s.dim() == 2:
        pairs = [(s.T, t.T)]
    else:
        pairs = [(rows(a).T, rows(b).T) for a, b in zip(s, t)]
    return torch.stack([(one(a) - one(b)) ** 2 for a, b in pairs])


def info_nce(s, t, y, temperature=0.07):
    values = []
    for n, feature in enumerate(s):
        cosines = torch.cosine_similarity(feature[None], t, 1) / temperature
        values.append(-cosines.softmax(0)[n].log())
    return torch.stack(values)


def self_similarity(s, t, y):
    def cosines(x):
        return torch.cosine_similarity(x[:, None], x[None], -1)

    pairs = [(s, t)] if s.dim() == 2 else zip(map(rows, s), map(rows, t))
    return torch.stack([(cosines(a) - cosines(b)) ** 2 for a, b in pairs])


def coral(s, t, y):
    covariances = [torch.cov(s[t == stream].T) for stream in (0, 1)]
    difference = covariances[0] - covariances[1]
    return (difference**2).sum() / 4 / s.shape[1] ** 2


TABLE = [
    *(
        Case('SimilarityKL', similarity, options, remembers=True)
        for options in ({}, dict(size=7, temperature=0.5))
    ),
    *(
        Case('TokenRelation', relation, options, TOKENS, right)
        for right in (None, wider)
        for options in ({}, dict(heads=3))
    ),
    *(
        Case('AttentionTransfer', attention, options, size, right)
        for size, right in ((TOKENS, None), (MAP, None), (MAP, deeper))
        for options in ({}, dict(power=1.0))
    ),
    *(
        Case(
            'RKD',
            relational,
            options,
            right=right,
            misfits=MANY,
        )
        for right in (None, wider)
        for options in ({}, dict(distance=2.0, angle=0))
    ),
    *each_size('GramRelation', gram, misfits=((7, 3, 2, 2),)),
    Case('GramRelation', gram, {}, MAP, deeper, misfits=((7, 3, 2, 2),)),
    *(
        Case('GramRelation', gram, dict(of='channels'), size, misfits=misfits)
        # As many channels, of an image in place of the batch.
        for size, *misfits in (
            (VECTOR, (4, 5), (7,)),
            (TOKENS, (6,), (7, 2)),
            (MAP, (3,), (7, 3, 2)),
        )
    ),
    *(
        Case('Contrastive', info_nce, options, zero=False)
        for options in ({}, dict(temperature=0.5))
    ),
    *each_size('SelfSimilarity', self_similarity, misfits=MANY),
    Case('SelfSimilarity', self_similarity, {}, MAP, deeper),
    # A polynomial of degree four: float16 holds the gradient of a norm of 67
    # at a width of 5, of 1e4 at that of MobileNetV3-small's feature.
    *(
        Case('CORAL', coral, {}, (width,), streams, huge=norm / width**0.5)
        for width, norm in ((5, 67), (1024, 1e4))
    ),
]
WRONG = {
    ('SimilarityKL', 'size'): SIZE,
    ('SimilarityKL', 'temperature'): POSITIVE,
    ('TokenRelation', 'heads'): SIZE,
    ('AttentionTransfer', 'power'): [*POSITIVE, 0.5],
    ('RKD', 'distance'): POSITIVE[1:],
    ('RKD', 'angle'): POSITIVE[1:],
    ('GramRelation', 'of'): [*WORD, None],
    ('Contrastive', 'temperature'): POSITIVE,
}
