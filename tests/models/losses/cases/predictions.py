"""Losses of logits and labels."""

import torch

from .case import (
    EARLIER,
    POSITIVE,
    SHARE,
    WORD,
    Case,
    kl,
)


def class_index(logits):
    return torch.arange(len(logits)) % (logits.shape[1] + 1) - 1


def soft_labels(logits):
    return logits.softmax(1)


def as_logits(logits):
    return 3 * logits


def soft_target(s, t, y, temperature=4.0, standardize=False):
    if standardize:
        s, t = ((z - z.mean(1)[:, None]).T / z.std(1, False) for z in (s, t))
        s, t = s.T, t.T
    p, q = ((z / temperature).softmax(1) for z in (t, s))
    return temperature**2 * kl(p, q)


def dkd(s, t, y, alpha=1.0, beta=8.0, temperature=4.0):
    values = []
    for z_s, z_t, c in zip(s / temperature, t / temperature, y.tolist()):
        c = int(z_t.argmax()) if c < 0 else c
        p_s, p_t = z_s.softmax(0), z_t.softmax(0)
        rest = [k for k in range(len(p_s)) if k != c]
        masses = [torch.stack([p[c], p[rest].sum()]) for p in (p_t, p_s)]
        others = [p[rest] / p[rest].sum() for p in (p_t, p_s)]
        values.append(alpha * kl(*masses) + beta * kl(*others))
    return temperature**2 * torch.stack(values)


def nkd(s, t, y, gamma=1.5, temperature=1.0):
    values = []
    for z_s, z_t, c in zip(s, t, y.tolist()):
        c = int(z_t.argmax()) if c < 0 else c
        value = -z_t.softmax(0)[c] * z_s.softmax(0)[c].log()
        rest = [k for k in range(len(z_s)) if k != c]
        p, q = ((z / temperature).softmax(0)[rest] for z in (z_t, z_s))
        others = -(p / p.sum() * (q / q.sum()).log()).sum()
        values.append(value + gamma * temperature**2 * others)
    return torch.stack(values)


def correlations(s, t, y, inter=1.0, intra=1.0, temperature=1.0):
    p, q = ((z / temperature).softmax(1) for z in (s, t))
    found = [
        1 - torch.stack([torch.corrcoef(torch.stack(x))[0, 1] for x in pairs])
        for pairs in (zip(p, q), zip(p.T, q.T))
    ]
    value = inter * found[0].mean() + intra * found[1].mean()
    return temperature**2 * value


def ofa(s, t, y, epsilon=1.0, temperature=1.0):
    values = []
    for z_s, z_t, label in zip(s, t, y.tolist()):
        p, q = ((z / temperature).softmax(0) for z in (z_t, z_s))
        value = 0
        for c in range(len(p)):
            m = float(c == label)
            value = value - ((p[c] + m) ** epsilon - m) * q[c].log()
        values.append(value)
    return torch.stack(values)


def jensen_shannon(s, t, y, mode='jeffreys'):
    p, q = s.softmax(1), t.softmax(1)
    middle = (p + q) / 2
    others = (q, p) if mode == 'jeffreys' else (middle, middle)
    return (kl(p, others[0]) + kl(q, others[1])) / 2


def pseudo_label(s, t, y, threshold=0.95, adaptive=None, momentum=0.999):
    values, bars = [], [threshold] * s.shape[1]
    if adaptive:
        seen = as_logits(EARLIER).softmax(1)
        start, keep = 1 / s.shape[1], momentum
        tau = keep * start + (1 - keep) * seen.max(1)[0].mean()
        p = keep * start + (1 - keep) * seen.mean(0)
        bars = (tau * p / p.max()).tolist()
    for z_s, q in zip(s, t.softmax(1)):
        c = int(q.argmax())
        sure = float(q[c] >= bars[c])
        values.append(-sure * z_s.softmax(0)[c].log())
    return torch.stack(values)


def cross_entropy(s, t, y, label_smoothing=0.0):
    if t.dim() == 1:
        s, t = s[t >= 0], torch.eye(s.shape[1]).to(s)[t[t >= 0]]
    q = (1 - label_smoothing) * t + label_smoothing / s.shape[1]
    return -(q * s.softmax(1).log()).sum(1)


def balanced(s, t, y, exponent=1.0, counts=None, label_smoothing=0.0):
    if counts is None:
        seen = class_index(EARLIER)
        counts = [1 + int((seen == c).sum()) for c in range(s.shape[1])]
    sizes = torch.tensor(counts, dtype=torch.float64)
    return cross_entropy(s + exponent * sizes.log(), t, y, label_smoothing)


def confident(s, t, y, logits=True, width=2.0, momentum=0.999):
    seen = (3 * EARLIER if logits else EARLIER).softmax(1).max(1)[0]
    q = t.softmax(1) if logits else t
    p, c = q.max(1)[0], q.shape[1]
    mu = momentum / c + (1 - momentum) * seen.mean()
    variance = momentum + (1 - momentum) * seen.var()
    short = torch.where(p < mu, mu - p, 0.0)
    weights = (-(width**2) * short**2 / 2 / variance).exp()
    return weights * cross_entropy(s, q, y)


def weighted_ground_truth(s, t, y, alpha=0.5):
    q = t.softmax(1)
    for n, c in enumerate(y.tolist()):
        if c >= 0:
            q = q.index_put((torch.tensor(n),), (1 - alpha) * q[n])
            add = torch.zeros_like(q)
            add[n, c] = alpha
            q = q + add
    return cross_entropy(s, q, y)


def ferkd(s, t, y, drop=0.1, soft=0.3, smoothing=0.1):
    values = []
    for z, q, c in zip(s, t.softmax(1), y.tolist()):
        if q.max() < drop or (q.max() < soft and c < 0):
            continue
        if q.max() < soft:
            q = torch.full_like(q, smoothing / len(q))
            q[c] += 1 - smoothing
        values.append(-(q * z.softmax(0).log()).sum())
    return torch.stack(values)


def better_peer(s, t, y, temperature=1.0, where='better'):
    values = []
    for z_s, z_t, c in zip(s, t, y.tolist()):
        if c >= 0:
            better = z_t.softmax(0)[c] > z_s.softmax(0)[c]
            if where == 'right':
                better = int(z_t.argmax()) == c
            p, q = ((z / temperature).softmax(0) for z in (z_t, z_s))
            values.append(temperature**2 * better * kl(p, q))
    return torch.stack(values)


def confusion(s, t, y, temperature=2.5):
    p, q = ((z / temperature).softmax(1) for z in (s, t))
    weights = 1 + torch.exp((q * q.log()).sum(1))
    weights = len(s) * weights / weights.sum()
    matrix = sum(w * torch.outer(row, row) for w, row in zip(weights, p))
    shares = matrix / matrix.sum(1, keepdim=True)
    return 1 - shares.diagonal()


TABLE = [
    Case('KLDivergence', soft_target),
    Case('KLDivergence', soft_target, dict(temperature=0.5)),
    Case('KLDivergence', soft_target, dict(standardize=True)),
    Case('DKD', dkd, labels=True),
    Case('DKD', dkd, dict(alpha=0.5, beta=3, temperature=2.0), labels=True),
    Case('NKD', nkd, zero=False, labels=True),
    Case(
        'NKD', nkd, dict(gamma=0.5, temperature=3.0), zero=False, labels=True
    ),
    Case('DIST', correlations),
    Case('DIST', correlations, dict(inter=2.0, intra=0.5, temperature=4.0)),
    Case('OFA', ofa, zero=False),
    Case(
        'OFA', ofa, dict(epsilon=1.5, temperature=2.0), zero=False, labels=True
    ),
    *(
        Case('JensenShannon', jensen_shannon, dict(mode=mode))
        for mode in ('jeffreys', 'jsd')
    ),
    *(
        Case('PseudoLabel', pseudo_label, dict(threshold=bar), zero=False)
        for bar in (0, 0.8)
    ),
    Case(
        'PseudoLabel',
        pseudo_label,
        dict(adaptive='free', momentum=0.2),
        right=as_logits,
        remembers=True,
    ),
    *(
        Case('CrossEntropy', cross_entropy, options, right=right)
        for right in (class_index, soft_labels)
        for options in ({}, dict(label_smoothing=0.2))
    ),
    Case('BalancedCrossEntropy', balanced, right=class_index, remembers=True),
    Case(
        'BalancedCrossEntropy',
        balanced,
        dict(exponent=-0.5, counts=[9, 4, 1, 2, 3], label_smoothing=0.1),
        right=soft_labels,
        remembers=True,
    ),
    *(
        Case(
            'ConfidentCrossEntropy',
            confident,
            dict(logits=logits, momentum=0.2, width=width),
            right=right,
            remembers=True,
        )
        for logits, right in ((True, as_logits), (False, soft_labels))
        for width in (2.0, 6.0)
    ),
    *(
        Case(
            'WeightedGroundTruth',
            weighted_ground_truth,
            options,
            zero=False,
            labels=True,
        )
        for options in ({}, dict(alpha=0.8))
    ),
    Case(
        'FerKD',
        ferkd,
        dict(drop=0.5, soft=0.85, smoothing=0.2),
        zero=False,
        labels=True,
    ),
    *(
        Case('BetterPeer', better_peer, options, labels=True)
        for options in ({}, dict(temperature=2.0), dict(where='right'))
    ),
    *(
        Case('MinimumClassConfusion', confusion, options, zero=False)
        for options in ({}, dict(temperature=1.0))
    ),
]
WRONG = {
    ('KLDivergence', 'temperature'): POSITIVE,
    ('DKD', 'temperature'): POSITIVE,
    ('DKD', 'alpha'): POSITIVE[1:],
    ('DKD', 'beta'): POSITIVE[1:],
    ('NKD', 'gamma'): POSITIVE[1:],
    ('NKD', 'temperature'): POSITIVE,
    ('DIST', 'inter'): POSITIVE[1:],
    ('DIST', 'intra'): POSITIVE[1:],
    ('DIST', 'temperature'): POSITIVE,
    ('OFA', 'epsilon'): POSITIVE,
    ('OFA', 'temperature'): POSITIVE,
    ('JensenShannon', 'mode'): [*WORD, None],
    ('PseudoLabel', 'threshold'): SHARE,
    ('PseudoLabel', 'adaptive'): WORD,
    ('PseudoLabel', 'momentum'): SHARE,
    ('ConfidentCrossEntropy', 'width'): POSITIVE,
    ('ConfidentCrossEntropy', 'momentum'): SHARE,
    ('CrossEntropy', 'label_smoothing'): SHARE,
    ('BalancedCrossEntropy', 'exponent'): POSITIVE[2:],
    ('BalancedCrossEntropy', 'label_smoothing'): SHARE,
    ('WeightedGroundTruth', 'alpha'): SHARE,
    ('FerKD', 'drop'): SHARE,
    ('FerKD', 'soft'): SHARE,
    ('FerKD', 'smoothing'): SHARE,
    ('BetterPeer', 'temperature'): POSITIVE,
    ('BetterPeer', 'where'): [*WORD, None],
    ('MinimumClassConfusion', 'temperature'): POSITIVE,
}
