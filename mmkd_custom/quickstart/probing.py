"""Whether a teacher tells the classes apart: a probe of what it says."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device

from ..datasets.subset import stratified_subset
from ..fitting.config import inner_teacher, scope_of, seed_of
from ..fitting.labelled import LabelledImages
from ..fitting.logistic import fit_linear, fit_probe, stratified_folds
from ..fitting.propagation import FALLBACK
from ..models.outputs import FEATURE
from ..models.teachers.wrappers.base import build_wrapped
from ..models.teachers.wrappers.probed import STANDARDIZE, normalize
from ..utils.progress import progress

#: Most labelled images that the teacher is asked about, a share of each class.
MOST = 2000
#: Side of the thumbnails whose pixels a probe is fitted to.
THUMBNAIL = 8
#: Strengths of regularisation that are tried, fewer than for a probe to keep.
GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
#: Draws of the images with replacement, for the interval.
DRAWS = 1000


@dataclass(frozen=True)
class Score:
    """Of some answers, in percent: ``accuracy`` and ``f1``, the macro-F1."""

    accuracy: float
    f1: float


@dataclass
class Outlook:
    """What a teacher knows of the labelled images.

    Args:
        constant (Score): Of always giving the commonest class.
        pixels (Score, optional): Of a probe of thumbnails.
        probe (Score, optional): Of a probe of the teacher's feature; the last
            two on images that were held out, each once. None where every
            class has one image alone, of which none can be held out.
        gain (tuple[float, float], optional): 95 % interval, over the images,
            of the macro-F1 that ``probe`` has above the better of the others;
            None as these.
        count (int): Number of images.
        seconds_per_image (float): That the teacher takes.
        tested (Score, optional): Of the probe, fitted to all labelled images,
            on the test images. Defaults to None.
    """

    constant: Score
    pixels: Optional[Score]
    probe: Optional[Score]
    gain: Optional[Tuple[float, float]]
    count: int
    seconds_per_image: float
    tested: Optional[Score] = None

    def verdict(self) -> str:
        """Says whether distillation is likely to help, in a sentence."""
        if self.gain is None:
            return (
                'Whether distillation is likely to help cannot be told: every '
                'class has one labelled image alone (but for those held out '
                'to test on), and a probe needs one to fit and one to ask.'
            )
        low, high = self.gain
        above = f'{low:+.1f} to {high:+.1f} points of macro-F1'
        if low > 0:
            return (
                'Distillation is likely to help: a linear probe of the '
                f'teacher is {above} above what needs no teacher.'
            )
        if high > 0:
            return (
                'Distillation may help or not: a linear probe of the teacher '
                f'is {above} above what needs no teacher; more labels, or '
                'another --teacher, would tell.'
            )
        return (
            'Distillation is unlikely to help: a linear probe of the teacher '
            f'is {above} above what needs no teacher; try another --teacher.'
        )


def look(config: Config, tested: bool = True) -> Outlook:
    """Probes the teacher of a run on its labelled images.

    Args:
        config (Config): Of a distillation run.
        tested (bool): Whether to ask it about the test images as well.
            Defaults to True.

    Raises:
        UserError: If the teacher cannot be built.
    """
    spec, option = inner_teacher(config)
    with scope_of(config):
        teacher = build_wrapped(spec, option, {}).to(get_device())
    features, pixels, labels, seconds = _ask(config, teacher, MOST)
    classes = int(labels.max()) + 1
    outlook, fitted = _compared(features, pixels, labels, seed_of(config))
    outlook.seconds_per_image = seconds / len(labels)
    if tested:
        theirs = copy.deepcopy(config)
        theirs.train_dataloader.dataset.labelled = dict(
            config.test_dataloader.dataset,
            pipeline=config.train_dataloader.dataset.labelled.pipeline,
            test_mode=False,
        )
        # The student is tested on all of them.
        shown, _, answer, _ = _ask(theirs, teacher)
        said = _answers(shown, fitted)
        outlook.tested = score(said, answer.numpy(), classes)
    return outlook


def _compared(
    features: torch.Tensor,
    pixels: torch.Tensor,
    labels: torch.Tensor,
    seed: int,
) -> Tuple[Outlook, Dict[str, torch.Tensor]]:
    """Returns the outlook, without a time, and the probe of all images."""
    truth = labels.numpy()
    classes = int(truth.max()) + 1
    common = np.full(len(truth), np.bincount(truth).argmax())
    if not stratified_folds(truth):
        constant = score(common, truth, classes)
        fitted, _ = fit_linear(features, labels, FALLBACK)
        return Outlook(constant, None, None, None, len(truth), 0.0), fitted
    answers, fitted = _cross_validated(features, labels)
    thumbnails, _ = _cross_validated(pixels, labels)
    asked = answers >= 0
    answers, thumbnails = answers[asked], thumbnails[asked]
    truth, common = truth[asked], common[asked]
    others = {
        'constant': (common, score(common, truth, classes)),
        'pixels': (thumbnails, score(thumbnails, truth, classes)),
    }
    best = max(others.values(), key=lambda other: other[1].f1)[0]
    outlook = Outlook(
        probe=score(answers, truth, classes),
        gain=_gain(answers, best, truth, classes, seed),
        count=len(truth),
        seconds_per_image=0.0,
        **{name: found for name, (_, found) in others.items()},
    )
    return outlook, fitted


def score(answers: np.ndarray, truth: np.ndarray, classes: int) -> Score:
    """Scores answers (N,) against the true classes (N,)."""
    accuracy = 100 * float((answers == truth).mean())
    return Score(accuracy, 100 * _macro_f1(answers, truth, classes))


def _ask(
    config: Config, teacher: Any, most: Optional[int] = None
) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
    """Asks the teacher about the labelled images, or so many of them.

    Returns:
        tuple: Features (N, D), thumbnails (N, 3 · 8 · 8), labels (N,) and the
        seconds that it took, but for the first batch.
    """
    batch = config.val_dataloader.get('batch_size', 64)
    images = LabelledImages(config, teacher, 0, batch, seed_of(config))
    count, asked = len(images.train), None
    if most is not None and count > most:
        asked = stratified_subset(
            images.labels, fraction=most / count, seed=seed_of(config)
        )
        count = len(asked)
    features, pixels, labels = [], [], []
    begun, late = time.perf_counter(), 0
    with progress('asking the teacher', count, unit='images') as bar:
        for inputs, targets in images.still_batches(asked):
            features.append(teacher(inputs, (FEATURE,)).feature.cpu())
            small = torch.nn.functional.adaptive_avg_pool2d(inputs, THUMBNAIL)
            pixels.append(small.flatten(1).float().cpu())
            labels.append(targets.cpu())
            bar.advance(len(targets))
            if len(features) == 1 and count > len(targets):
                begun, late = time.perf_counter(), len(targets)
    seconds = time.perf_counter() - begun
    return (
        torch.cat(features),
        torch.cat(pixels),
        torch.cat(labels),
        seconds * count / (count - late),
    )


def _cross_validated(
    features: torch.Tensor, labels: torch.Tensor
) -> Tuple[np.ndarray, Dict[str, torch.Tensor]]:
    """Answers for each image by a probe that was not fitted to it.

    Returns:
        tuple[ndarray, dict[str, Tensor]]: Class (N,), -1 of the only image of
        a class, and the probe of all images. Its strength is that of the best
        of a few, chosen by the same images.

    Raises:
        UserError: If every class has one image alone.
    """
    folds = stratified_folds(labels.numpy(), enough=len(labels))
    fit = fit_probe(features, labels, folds, grid=GRID)
    return fit.answers, fit.tensors


def _answers(
    features: torch.Tensor, fitted: Dict[str, torch.Tensor]
) -> np.ndarray:
    statistics = {k: fitted[k] for k in ('mean', 'std')}
    x = normalize(features.float(), STANDARDIZE, **statistics)
    return (x @ fitted['weight'].T + fitted['bias']).argmax(1).numpy()


def _gain(
    ours: np.ndarray,
    theirs: np.ndarray,
    truth: np.ndarray,
    classes: int,
    seed: int,
) -> Tuple[float, float]:
    rng = np.random.RandomState(seed)
    differences = []
    for _ in range(DRAWS):
        drawn = rng.randint(len(truth), size=len(truth))
        pair = [
            _macro_f1(said[drawn], truth[drawn], classes)
            for said in (ours, theirs)
        ]
        differences.append(100 * (pair[0] - pair[1]))
    low, high = np.percentile(differences, [2.5, 97.5])
    return float(low), float(high)


def _macro_f1(said: np.ndarray, truth: np.ndarray, classes: int) -> float:
    """As scikit-learn's, a hundred times as fast: it is drawn often."""
    table = np.bincount(truth * classes + said, minlength=classes**2)
    table = table.reshape(classes, classes)
    hits = table.diagonal()
    total = table.sum(0) + table.sum(1)
    return float((2 * hits / np.maximum(total, 1)).mean())
