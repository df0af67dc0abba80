"""Losses of vectors, tokens and maps, one by one."""

import math

import torch
import torch.nn.functional as F

from .case import (
    EARLIER,
    EARLIER_LABELS,
    MAP,
    POSITIVE,
    SIZE,
    TOKENS,
    WORD,
    Case,
    each_size,
    learnt,
    rows,
)


def last(x):
    """Channels last, whatever the kind: (N, C, h, w) -> (N, h, w, C)."""
    return x.permute(0, 2, 3, 1) if x.dim() == 4 else x


def mse(s, t, y, normalize=False, relative=False):
    if relative:
        channel = 1 if s.dim() == 4 else -1
        values = t.unbind(channel)
        variance = sum(v.var(unbiased=False) for v in values) / len(values)
        return mse(s, t, y) / variance
    if not normalize:
        return (s - t) ** 2
    s, t = last(s), last(t)
    return (2 - 2 * torch.cosine_similarity(s, t, -1)) / s.shape[-1]


def smooth_l1(s, t, y, beta=1.0, layer_norm=False):
    if layer_norm:
        s, t = last(s), last(t)
        mean = t.mean(-1, keepdim=True)
        variance = t.var(-1, unbiased=False, keepdim=True)
        t = (t - mean) / (variance + 1e-5).sqrt()
    x = (s - t).abs()
    return torch.where(x < beta, x**2 / 2 / max(beta, 1e-9), x - beta / 2)


def l1(s, t, y, normalize=False):
    s, t = last(s), last(t)
    if normalize:
        s, t = (x / (x**2).sum(-1, keepdim=True).sqrt() for x in (s, t))
    return torch.maximum(s - t, t - s)


def cosine(s, t, y):
    return 1 - torch.cosine_similarity(last(s), last(t), -1)


def spectral(s, t, y, beta=1 / 3, eps=1e-4):
    errors = torch.stack([(a - b).square().mean() for a, b in zip(s.T, t.T)])
    return (errors + eps) ** beta - eps**beta


def norm_direction(s, t, y, num_classes):
    values = []
    for f_s, f_t, c in zip(s, t, y.tolist()):
        if c < 0:
            continue
        # As float32, in which the sums are kept.
        centre = EARLIER[EARLIER_LABELS == c].sum(0).float().double()
        along = f_s @ centre / centre.norm()
        values.append(1 - along / max(f_s.norm(), f_t.norm()))
    return torch.stack(values)


def correlation_matrix(s, t, y, off_diagonal=0.01):
    s, t = (F.batch_norm(x, None, None, training=True) for x in (s, t))
    value = 0
    for i, left in enumerate(t.T):
        for j, right in enumerate(s.T):
            c = (left * right).mean()
            value = value + ((c - 1) ** 2 if i == j else off_diagonal * c**2)
    return value


def log_sum(s, t, y, eps=1e-4):
    s, t = (F.batch_norm(x, None, None, training=True) for x in (s, t))
    total = ((s - t) ** 4).sum()
    return (total + eps).log() - math.log(eps)


def vid(s, t, y, variance=5.0):
    v = (1 + learnt(last(s).shape[-1]).exp()).log() + 1e-5
    gauss = torch.distributions.Normal(last(s), v.sqrt())
    return -gauss.log_prob(last(t)) - math.log(2 * math.pi) / 2


def masked(s, t, y, masks=4, diversity=1.0):
    values = []
    for f_s, f_t in zip(map(rows, s), map(rows, t)):
        width = f_s.shape[1]
        places, channels = learnt(2, masks, width)
        u_s, u_t = ((f.T / f.norm(dim=1)).T for f in (f_s, f_t))
        look = (u_t @ u_s.T * width**0.5).softmax(1) @ u_s
        errors, value = (f_s - f_t) ** 2, 0
        by_place = [1 / (1 + (-(look @ p)).exp()) for p in places]
        means = look.mean(0) * width**0.5
        by_channel = [1 / (1 + (-(means * c)).exp()) for c in channels]
        for kind, of in ((by_place, 1), (by_channel, 0)):
            for mask in kind:
                part = (mask * errors.mean(of)).sum() / mask.sum()
                value = value + part / masks / 2
            pairs = [(a, b) for a in kind for b in kind if a is not b]
            dice = [2 * (a @ b) / (a @ a + b @ b) for a, b in pairs]
            value = value + diversity * sum(dice) / max(len(dice), 1) / 2
        values.append(value)
    return torch.stack(values)


def dual_view(s, t, y, original=1.0, alternative=1.0):
    values = []
    for f_s, f_t in zip(map(rows, s), map(rows, t)):
        d_s, d_t = f_s - f_s.mean(0), f_t - f_t.mean(0)
        whole = 2 - 2 * torch.cosine_similarity(f_s, f_t, 1)
        detail = 2 - 2 * torch.cosine_similarity(d_s, d_t, 1)
        values.append((original * whole + alternative * detail).mean())
    return torch.stack(values)


def weighted(s, t, y, weights='inverse_norm'):
    s, t = last(s), last(t)
    if weights == 'entropy':
        v = t.flatten(0, -2).var(0, unbiased=False)
        w = (1 + v / v.mean()).log()
    else:
        norms = (t**2).sum(-1, keepdim=True).sqrt()
        w = 1 / torch.where(
            norms < norms.mean() / 10, norms.mean() / 10, norms
        )
    return (s - t) ** 2 * w / w.mean()


TABLE = [
    *each_size('MSE', mse),
    *each_size('MSE', mse, dict(normalize=True)),
    *each_size('MSE', mse, dict(relative=True)),
    *each_size('SmoothL1', smooth_l1),
    *(Case('SmoothL1', smooth_l1, dict(beta=beta)) for beta in (0, 3.0)),
    *each_size('SmoothL1', smooth_l1, dict(layer_norm=True), zero=False),
    *each_size('L1', l1),
    *each_size('L1', l1, dict(normalize=True)),
    *each_size('Cosine', cosine),
    Case('SpecMatch', spectral),
    Case('SpecMatch', spectral, dict(beta=0.5, eps=0.1)),
    Case(
        'NormDirection',
        norm_direction,
        dict(num_classes=5),
        remembers=True,
        labels=True,
        zero=False,
    ),
    *(
        Case('RSD', correlation_matrix, options, zero=False)
        for options in ({}, dict(off_diagonal=0.5))
    ),
    *(Case('LogSum', log_sum, options) for options in ({}, dict(eps=0.1))),
    *each_size('VID', vid, zero=False),
    *(
        Case('MaskedMSE', masked, options, size, zero=False, exact=False)
        for size in (TOKENS, MAP)
        for options in ({}, dict(masks=1), dict(masks=3, diversity=0.2))
    ),
    *(
        Case('DualView', dual_view, options, size)
        for size in (TOKENS, MAP)
        for options in ({}, dict(original=4.0, alternative=0))
    ),
    *each_size('WeightedMSE', weighted),
    *each_size('WeightedMSE', weighted, dict(weights='entropy')),
]
WRONG = {
    ('SmoothL1', 'beta'): POSITIVE[1:],
    ('SpecMatch', 'beta'): POSITIVE,
    ('SpecMatch', 'eps'): POSITIVE,
    ('RSD', 'off_diagonal'): POSITIVE[1:],
    ('LogSum', 'eps'): POSITIVE,
    ('VID', 'variance'): POSITIVE,
    ('MaskedMSE', 'masks'): SIZE,
    ('MaskedMSE', 'diversity'): POSITIVE[1:],
    ('DualView', 'original'): POSITIVE[1:],
    ('DualView', 'alternative'): POSITIVE[1:],
    ('WeightedMSE', 'weights'): [*WORD, None],
}
