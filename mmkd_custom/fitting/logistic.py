"""Multinomial logistic regression of features, and how strong its penalty is.

Equation and solver are scikit-learn's; what is ours is the choice of C.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from ..errors import UserError
from ..models.teachers.wrappers.probed import STANDARDIZE, normalize
from ..utils.progress import progress

#: Inverse strengths C of the L2 regularisation that are tried: one a decade.
GRID = tuple(10.0**exponent for exponent in range(-5, 6))


class Trial(NamedTuple):
    """What one strength of regularisation came to.

    Attributes:
        c (float): Inverse strength C.
        train (float): Top-1 in percent on the images it was fitted to; the
            mean over the folds.
        held_out (float): Top-1 in percent on those that were held out.
        loss (float): Mean cross entropy on those, in nats.
    """

    c: float
    train: float
    held_out: float
    loss: float


@dataclass
class ProbeFit:
    """A fitted probe and how its regularisation was chosen.

    Attributes:
        tensors (dict[str, Tensor]): As in
            :class:`~mmkd_custom.models.teachers.wrappers.probed.Probe`,
            fitted to all images.
        chosen (Trial): That of the chosen strength.
        train_accuracy (float): Top-1 in percent on all images, of this one.
        trials (list[Trial]): One for each strength.
        answers (ndarray): Class (N,) that a probe of the chosen strength gives
            each image that it was not fitted to; -1 of what no fold holds
            out.
    """

    tensors: Dict[str, torch.Tensor]
    chosen: Trial
    train_accuracy: float
    trials: List[Trial]
    answers: np.ndarray

    def table(self) -> str:
        """Returns a line for each trial, the chosen one marked."""
        lines = ['       C    fitted to  held out      loss']
        for trial in self.trials:
            mark = '  <- chosen' if trial == self.chosen else ''
            lines.append(
                f'{trial.c:8.0e}  {trial.train:9.2f} %  '
                f'{trial.held_out:6.2f} %  {trial.loss:8.4f}{mark}'
            )
        return '\n'.join(lines)


def fit_probe(
    features: torch.Tensor,
    labels: torch.Tensor,
    folds: Sequence[Sequence[int]],
    normalization: str = STANDARDIZE,
    grid: Sequence[float] = GRID,
) -> ProbeFit:
    r"""Fits multinomial logistic regression, L2-regularised.

    .. math:: \min_{W, b} \; \tfrac{1}{2} |W|^2 + C \sum_i
              \mathrm{CE}(W n(f_i) + b, y_i)

    C is the one of the grid with the best accuracy on what is held out; of
    equal ones that with the lowest cross entropy there, since soft targets
    are what the probe is for. Then it is fitted to everything. The statistics
    of 'standardize' are those of the images it is fitted to. Draws no random
    number.

    Args:
        features (Tensor): (N, D).
        labels (Tensor): Class index (N,); each of 0 … C - 1 is there.
        folds (Sequence[Sequence[int]]): Positions of what chooses C, each
            held out in turn; one is a plain hold-out. Every class is also
            among the rest of each.
        normalization (str): 'none', 'l2' or 'standardize'. Defaults to
            'standardize'.
        grid (Sequence[float]): Values of C to try, positive. Defaults to one
            a decade from 1e-5 to 1e5.

    Raises:
        UserError: If nothing is held out, a feature is not finite, or there
            is no such normalisation.
    """
    if not any(len(fold) for fold in folds):
        raise UserError(
            'holdout: expected images to choose the regularisation by, got '
            'none, because every class has only one.'
        )
    features, targets = _checked(features, labels)
    held_out = np.concatenate([np.asarray(fold, int) for fold in folds])
    train = {c: [] for c in sorted(grid)}
    told = {c: [] for c in train}
    with progress('probe', len(train) * len(folds), 'fits') as bar:
        for fold in folds:
            inside = np.ones(len(targets), dtype=bool)
            inside[np.asarray(fold, int)] = False
            statistics = _statistics(features[inside], normalization)
            x = normalize(features, normalization, **statistics).numpy()
            for c in train:
                # Each from zero, as in the end: the solver is content so
                # early that the start tells.
                model = _fit(c, x[inside], targets[inside])
                train[c].append(100 * model.score(x[inside], targets[inside]))
                told[c].append(model.predict_proba(x[np.asarray(fold, int)]))
                bar.advance()
    rest, trials = targets[held_out], []
    for c in train:
        said = np.concatenate(told[c])
        right = 100 * float((said.argmax(1) == rest).mean())
        loss = log_loss(rest, said, labels=range(said.shape[1]))
        trials.append(Trial(c, float(np.mean(train[c])), right, loss))
    best = max(trials, key=lambda trial: (trial.held_out, -trial.loss))
    tensors, accuracy = fit_linear(features, labels, best.c, normalization)
    answers = np.full(len(targets), -1)
    answers[held_out] = np.concatenate(told[best.c]).argmax(1)
    return ProbeFit(tensors, best, accuracy, trials, answers)


def stratified_folds(
    targets: np.ndarray, count: int = 5, enough: int = 1000, seed: int = 0
) -> List[np.ndarray]:
    """Divides the images of classes that have several among folds.

    Those of a class lie in different folds as far as there are folds, so the
    rest of each has every class.

    Args:
        targets (ndarray): Class index (N,).
        count (int): Folds, at least 2. Defaults to 5.
        enough (int): No more folds are returned than it takes to hold out so
            many images: what many tell need not be asked again. Defaults to
            1000.
        seed (int): Of the division. Defaults to 0.

    Returns:
        list[ndarray]: Positions of each fold; empty where every class has
        one image alone.
    """
    order = np.random.RandomState(seed).permutation(len(targets))
    order = order[np.argsort(targets[order], kind='stable')]
    order = order[np.bincount(targets)[targets[order]] > 1]
    needed = -(-enough * count // max(len(order), 1))
    folds = [order[i::count] for i in range(count)]
    return [fold for fold in folds[:needed] if len(fold)]


def fit_linear(
    features: torch.Tensor,
    labels: torch.Tensor,
    c: float,
    normalization: str = STANDARDIZE,
) -> Tuple[Dict[str, torch.Tensor], float]:
    """Fits one strength of regularisation to all images.

    Args:
        features (Tensor): (N, D).
        labels (Tensor): (N,); each of 0 … C - 1 is there.
        c (float): Inverse strength C.
        normalization (str): As in :func:`fit_probe`. Defaults to
            'standardize'.

    Returns:
        tuple[dict[str, Tensor], float]: ``weight`` (C, D), ``bias`` (C,) and
        the statistics, float32; and its top-1 in percent on these images.

    Raises:
        UserError: If a feature is not finite.
    """
    features, targets = _checked(features, labels)
    statistics = _statistics(features, normalization)
    inputs = normalize(features, normalization, **statistics).numpy()
    model = _fit(c, inputs, targets)
    linear = dict(weight=model.coef_, bias=model.intercept_)
    if len(model.classes_) == 2:
        # scikit-learn keeps the difference of the logits.
        linear = {k: np.concatenate([-v, v]) / 2 for k, v in linear.items()}
    tensors = {k: torch.from_numpy(np.asarray(v)) for k, v in linear.items()}
    tensors = {k: v.float() for k, v in {**tensors, **statistics}.items()}
    return tensors, 100 * model.score(inputs, targets)


def _checked(
    features: torch.Tensor, labels: torch.Tensor
) -> Tuple[torch.Tensor, np.ndarray]:
    features = features.double().cpu()
    if not torch.isfinite(features).all():
        raise UserError(
            'teacher: expected a finite feature of every labelled image, got '
            'one that is not.'
        )
    return features, labels.cpu().numpy()


def _fit(
    c: float, inputs: np.ndarray, targets: np.ndarray
) -> LogisticRegression:
    with warnings.catch_warnings():
        # Weak regularisation of separable features has no end; where the
        # solver stops is good enough to be compared, and held out tells.
        warnings.simplefilter('ignore', ConvergenceWarning)
        model = LogisticRegression(C=c, max_iter=1000)
        return model.fit(inputs, targets)


def _statistics(
    features: torch.Tensor, normalization: str
) -> Dict[str, torch.Tensor]:
    if normalization != STANDARDIZE:
        return {}
    std, mean = torch.std_mean(features, 0, unbiased=False)
    # As in FrozenTeacher.standardize: a dimension that hardly varies is noise
    # and shall not count as much as the others.
    least = 0.1 * std.mean()
    if least == 0:
        raise UserError(
            'teacher: expected features of labelled images that differ, got '
            'the same for all.'
        )
    return dict(mean=mean, std=std.clamp_min(least))
