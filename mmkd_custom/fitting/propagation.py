"""Soft labels of unlabelled images, from a probe and from their neighbours."""

from __future__ import annotations

import time
from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np
import torch
from sklearn.metrics import cohen_kappa_score

from ..errors import UserError
from .class_mass import with_class_mass
from .graph import diffuse, graph_of
from .logistic import GRID, fit_linear, fit_probe, stratified_folds
from .neighbours import EXACT, nearest
from .standardize import standardized

#: Of the grid, without the weakest penalties: on features of deviation 1 they
#: take the solver longest.
STRENGTHS = GRID[:6]
#: C where no class has a second image to choose it by.
FALLBACK = 0.1
#: Rows that are worked on at a time.
_ROWS = 16384


class Propagation(NamedTuple):
    """What is known of every image before the first step.

    Attributes:
        labels (Tensor): (N, C), float32, rows of sum 1. Of a labelled image
            its label.
        probe (Tensor): (N, C), likewise: what the probe alone says of all.
        agree (Tensor): (N,), bool: whether both have the same largest class.
            True of a labelled image.
        report (dict): Numbers about it, see :func:`propagate_labels`.
    """

    labels: torch.Tensor
    probe: torch.Tensor
    agree: torch.Tensor
    report: Dict[str, Any]


def propagate_labels(
    features: torch.Tensor,
    targets: torch.Tensor,
    groups: torch.Tensor,
    num_classes: int,
    *,
    neighbours: int = 10,
    exponent: float = 3.0,
    alpha: float = 0.8,
    steps: Optional[int] = 30,
    class_mass: bool = False,
    seed: int = 0,
    exact_up_to: int = EXACT,
) -> Propagation:
    r"""Gives every unlabelled image a distribution over the classes.

    1. Each group is standardised by its own mean and deviation.
    2. A probe, logistic regression on the labelled images, gives p_i.
    3. The unlabelled images become a graph of their nearest neighbours by
       cosine, S (:func:`~mmkd_custom.fitting.graph.graph_of`).
    4. Labels move along its edges, and in the end rows are made to sum to 1:

    .. math:: q^{(0)} = p, \quad q^{(t+1)} = \alpha S q^{(t)} + (1-\alpha) p

    Zhou et al., "Learning with local and global consistency", NIPS 2004,
    starting from a probe instead of labels (ours, as is step 1). It is
    transductive: what an image gets depends on which others there are. No
    target of an unlabelled image is used.

    The result is a function of the arguments, the number of threads and the
    device; no global random number is drawn. Beside ``features`` it takes
    about 4 · U · (2 · D + 4 · C + 12 · k) bytes for U unlabelled images,
    3.7 GB for a million of 384 numbers, 10 classes and 10 neighbours.

    Args:
        features (Tensor): (N, D), of all images.
        targets (Tensor): Class index (N,), −1 where there is no label. Each
            class has a label.
        groups (Tensor): (N,), integers: whose statistics standardise an
            image, such as its domain.
        num_classes (int): C, at least 2.
        neighbours (int): k of the graph. Defaults to 10.
        exponent (float): An edge weighs max(cos, 0) to this power. Defaults
            to 3.
        alpha (float): Share of the neighbours' word, in [0, 1). Defaults to
            0.8.
        steps (int, optional): How often. None solves (I − αS) q = (1 − α) p,
            which is the limit. Defaults to 30.
        class_mass (bool): Whether the classes of the unlabelled images get
            the shares that they have among the labelled ones, which are drawn
            from the same images (:mod:`~mmkd_custom.fitting.class_mass`).
            Defaults to False.
        seed (int): Of the folds that choose the probe's C, and of the
            approximate search. Defaults to 0.
        exact_up_to (int): Up to how many unlabelled images the search for
            neighbours is exact without a GPU; beyond, it needs ``faiss``.
            Defaults to 50 000.

    Returns:
        Propagation: Labels in the order of ``features``. Its report has
        ``images``, ``labelled``, ``groups``; ``edges``, ``isolated`` images
        without one, ``exact``; ``probe_c``, and of the labelled images that
        were held out the ``probe_held_out`` accuracy in percent and Cohen's
        kappa, ``probe_kappa`` (None if none could be); the shares of
        the unlabelled images of which two agree, ``plain_standardized``,
        ``plain_propagated``, ``standardized_propagated`` (plain: a probe of
        the same C, of features with the statistics of the labelled images);
        ``gated``, the share of which probe and propagation disagree; and
        ``seconds``.

    Raises:
        UserError: If an argument or a shape is wrong, a feature is not
            finite, a class has no label, or ``faiss`` is needed and missing.
    """
    start = time.time()
    features, targets = features.detach().cpu(), targets.cpu()
    groups = groups.cpu()
    _check(features, targets, groups, num_classes)
    labelled = targets >= 0
    x = standardized(features, groups)
    model, chosen, told = _probe(x[labelled], targets[labelled], seed)
    plain, _ = fit_linear(features[labelled], targets[labelled], chosen)
    probe = _said(x, model)
    unit = x[~labelled]
    # A copy of every feature is what this takes most memory for.
    del x
    for rows in unit.split(_ROWS):
        torch.nn.functional.normalize(rows, out=rows)
    found, exact = nearest(unit, neighbours, exact_up_to, seed)
    del unit
    graph = graph_of(*found, exponent)
    p = probe[~labelled]
    q = torch.from_numpy(diffuse(graph, p.numpy(), alpha, steps))
    # A deviation of the solver from zero may have any sign.
    q = q.clamp_min_(0)
    q /= q.sum(1, keepdim=True)
    if class_mass:
        counts = torch.bincount(targets[labelled], minlength=num_classes)
        shares = counts / counts.sum()
        p, q = with_class_mass(p, shares), with_class_mass(q, shares)
        probe[~labelled] = p
    labels = torch.zeros_like(probe)
    labels[labelled, targets[labelled]] = 1
    labels[~labelled] = q
    says = dict(
        plain=_said(features, plain)[~labelled].argmax(1),
        standardized=p.argmax(1),
        propagated=q.argmax(1),
    )
    agree = torch.ones(len(targets), dtype=torch.bool)
    agree[~labelled] = says['standardized'] == says['propagated']
    report = dict(
        images=len(targets),
        labelled=int(labelled.sum()),
        groups=len(groups.unique()),
        edges=graph.nnz // 2,
        isolated=int((np.diff(graph.indptr) == 0).sum()),
        exact=exact,
        probe_c=chosen,
        **told,
    )
    for one, other in (
        ('plain', 'standardized'),
        ('plain', 'propagated'),
        ('standardized', 'propagated'),
    ):
        report[f'{one}_{other}'] = _share(says[one] == says[other])
    report['gated'] = 1 - report['standardized_propagated']
    report['seconds'] = time.time() - start
    return Propagation(labels, probe, agree, report)


def _probe(
    features: torch.Tensor, targets: torch.Tensor, seed: int
) -> Tuple[Dict[str, torch.Tensor], float, Dict[str, Optional[float]]]:
    """Returns a probe, its C, and how it does on what was held out."""
    folds = stratified_folds(targets.numpy(), seed=seed)
    if not folds:
        tensors, _ = fit_linear(features, targets, FALLBACK, 'none')
        return tensors, FALLBACK, dict(probe_held_out=None, probe_kappa=None)
    fit = fit_probe(features, targets, folds, 'none', STRENGTHS)
    held_out = fit.answers >= 0
    kappa = cohen_kappa_score(targets.numpy()[held_out], fit.answers[held_out])
    told = dict(
        probe_held_out=fit.chosen.held_out,
        # Answers and labels that are all of one class agree by chance alone.
        probe_kappa=float(np.nan_to_num(kappa)),
    )
    return fit.tensors, fit.chosen.c, told


def _said(
    features: torch.Tensor, model: Dict[str, torch.Tensor]
) -> torch.Tensor:
    """Returns what a probe says of all, (N, C)."""
    out = []
    for rows in features.split(_ROWS):
        rows = rows.float()
        if 'mean' in model:
            rows = (rows - model['mean']) / model['std']
        out.append((rows @ model['weight'].T + model['bias']).softmax(1))
    return torch.cat(out)


def _share(mask: torch.Tensor) -> float:
    return float(mask.double().mean()) if len(mask) else 1.0


def _check(
    features: torch.Tensor,
    targets: torch.Tensor,
    groups: torch.Tensor,
    num_classes: int,
) -> None:
    if features.ndim != 2 or not features.is_floating_point():
        raise UserError(
            'features: expected real numbers (N, D), got '
            f'{features.dtype} {tuple(features.shape)}.'
        )
    for name, given in dict(targets=targets, groups=groups).items():
        if given.shape != features.shape[:1]:
            raise UserError(
                f'{name}: expected one for each of {len(features)} images, '
                f'got {tuple(given.shape)}.'
            )
    if num_classes < 2:
        raise UserError(
            f'num_classes: expected at least 2, got {num_classes}.'
        )
    present = targets.unique().tolist()
    wrong = [t for t in present if not -1 <= t < num_classes]
    if wrong:
        raise UserError(
            f'targets: expected -1 … {num_classes - 1}, got {wrong[0]}.'
        )
    lacking = sorted(set(range(num_classes)) - set(present))
    if lacking:
        raise UserError(
            f'targets: expected a labelled image of each of {num_classes} '
            f'classes, got none of {", ".join(map(str, lacking))}.'
        )
