"""Fits a linear probe to features and labels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from ..errors import UserError
from ..models.teachers.wrappers.probe import STANDARDIZE, normalize
from ..utils.progress import progress_bar

#: Inverse strengths C of the L2 regularisation that are tried: one a decade.
GRID = tuple(10.0**exponent for exponent in range(-5, 6))

#: Most steps of the solver for one of them.
_MAX_ITERATIONS = 1000


class Trial(NamedTuple):
    """What one strength of regularisation came to.

    Attributes:
        c (float): Inverse strength C.
        train (float): Top-1 in percent on the images it was fitted to.
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
        weight (Tensor): W, float32 (C, D), fitted to all images.
        bias (Tensor): b, float32 (C,).
        mean (Tensor, optional): (D,) statistics of all images, with
            'standardize' only.
        std (Tensor, optional): (D,), likewise.
        c (float): The chosen inverse strength.
        accuracy (float): Top-1 in percent on what was held out, of the probe
            fitted to the rest.
        train_accuracy (float): Top-1 in percent on all images, of this one.
        trials (list[Trial]): One for each strength.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    mean: Optional[torch.Tensor]
    std: Optional[torch.Tensor]
    c: float
    accuracy: float
    train_accuracy: float
    trials: List[Trial]

    def table(self) -> str:
        """Lists the trials.

        Returns:
            str: A line each, the chosen one marked.
        """
        lines = ['       C    fitted to  held out      loss']
        for trial in self.trials:
            mark = '  <- chosen' if trial.c == self.c else ''
            lines.append(
                f'{trial.c:8.0e}  {trial.train:9.2f} %  '
                f'{trial.held_out:6.2f} %  {trial.loss:8.4f}{mark}'
            )
        return '\n'.join(lines)


def fit_probe(
    features: torch.Tensor,
    labels: torch.Tensor,
    held_out: Sequence[int],
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
        held_out (Sequence[int]): Positions of what chooses C. Every class is
            also among the rest.
        normalization (str): 'none', 'l2' or 'standardize'. Defaults to
            'standardize'.
        grid (Sequence[float]): Values of C to try, positive. Defaults to one
            a decade from 1e-5 to 1e5.

    Returns:
        ProbeFit: On the CPU.

    Raises:
        UserError: If nothing is held out, a feature is not finite, or there
            is no such normalisation.
    """
    features, labels = features.double().cpu(), labels.cpu()
    if not len(held_out):
        raise UserError(
            'holdout: no image can be held out, because every class has only '
            'one, but some are wanted to choose the regularisation by.'
        )
    if not torch.isfinite(features).all():
        raise UserError(
            'teacher: its feature of a labelled image is not finite, so no '
            'probe can be fitted to it.'
        )
    inside = torch.ones(len(labels), dtype=torch.bool)
    inside[torch.as_tensor(np.asarray(held_out))] = False
    trials = _try(features, labels, inside, normalization, sorted(grid))
    best = max(trials, key=lambda trial: (trial.held_out, -trial.loss))
    mean, std = _statistics(features, normalization)
    inputs = normalize(features, normalization, mean, std).numpy()
    model = _estimator(best.c)
    _fit(model, inputs, labels)
    weight, bias = _as_linear(model)
    return ProbeFit(
        weight=weight,
        bias=bias,
        mean=None if mean is None else mean.float(),
        std=None if std is None else std.float(),
        c=best.c,
        accuracy=best.held_out,
        train_accuracy=100 * model.score(inputs, labels.numpy()),
        trials=trials,
    )


def _try(
    features: torch.Tensor,
    labels: torch.Tensor,
    inside: torch.Tensor,
    normalization: str,
    grid: Sequence[float],
) -> List[Trial]:
    mean, std = _statistics(features[inside], normalization)
    inputs = normalize(features, normalization, mean, std)
    train, rest = inputs[inside].numpy(), inputs[~inside].numpy()
    targets, wanted = labels[inside], labels[~inside].numpy()
    trials = []
    with progress_bar() as progress:
        for c in progress.track(grid, description='probe'):
            # Each from zero, as in the end: the solver is content so early
            # that the start tells, and one that starts where a stronger
            # regularisation ended stays there.
            model = _estimator(c)
            _fit(model, train, targets)
            probabilities = model.predict_proba(rest)
            trials.append(
                Trial(
                    c,
                    100 * model.score(train, targets.numpy()),
                    100 * float((probabilities.argmax(1) == wanted).mean()),
                    log_loss(wanted, probabilities, labels=model.classes_),
                )
            )
    return trials


def _estimator(c: float) -> LogisticRegression:
    return LogisticRegression(C=c, max_iter=_MAX_ITERATIONS)


def _fit(
    model: LogisticRegression, inputs: np.ndarray, labels: torch.Tensor
) -> None:
    with warnings.catch_warnings():
        # Weak regularisation of separable features has no end; where the
        # solver stops is good enough to be compared, and held out tells.
        warnings.simplefilter('ignore', ConvergenceWarning)
        model.fit(inputs, labels.numpy())


def _statistics(
    features: torch.Tensor, normalization: str
) -> Tuple[Optional[torch.Tensor], Optional[torch.Tensor]]:
    if normalization != STANDARDIZE:
        return None, None
    std, mean = torch.std_mean(features, 0, unbiased=False)
    # As in FrozenTeacher.standardize: a dimension that hardly varies is noise
    # and shall not count as much as the others.
    least = 0.1 * std.mean()
    if least == 0:
        raise UserError(
            'teacher: its feature is the same for all labelled images, so no '
            'probe can be fitted to it.'
        )
    return mean, std.clamp_min(least)


def _as_linear(
    model: LogisticRegression,
) -> Tuple[torch.Tensor, torch.Tensor]:
    weight, bias = (
        torch.from_numpy(np.asarray(values))
        for values in (model.coef_, model.intercept_)
    )
    if len(weight) == 1:
        # Of two classes scikit-learn keeps the difference of the logits.
        weight = torch.cat([-weight, weight]) / 2
        bias = torch.cat([-bias, bias]) / 2
    return weight.float(), bias.float()
