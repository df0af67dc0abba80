"""Fits a linear probe of a config's teacher to its labelled data."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple, Union

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from ..errors import UserError
from ..models.outputs import FEATURE
from ..models.teachers.base import FrozenTeacher
from ..models.teachers.wrappers.base import (
    build_wrapped,
    feature_name,
    input_summary,
)
from ..models.teachers.wrappers.probed import (
    STANDARDIZE,
    Probe,
    ProbedTeacher,
    normalize,
)
from ..utils.progress import progress_bar
from .config import scope_of, seed_of, teacher_to_fit, usage
from .labelled import LabelledImages

#: Inverse strengths C of the L2 regularisation that are tried: one a decade.
GRID = tuple(10.0**exponent for exponent in range(-5, 6))

#: What it is for, the option that names its file, and the file.
_KIND = (ProbedTeacher, 'probe', 'probe.safetensors')


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
        tensors (dict[str, Tensor]): As in
            :class:`~mmkd_custom.models.teachers.wrappers.probed.Probe`,
            fitted to all images.
        chosen (Trial): That of the chosen strength.
        train_accuracy (float): Top-1 in percent on all images, of this one.
        trials (list[Trial]): One for each strength.
    """

    tensors: Dict[str, torch.Tensor]
    chosen: Trial
    train_accuracy: float
    trials: List[Trial]

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


def probe_config(
    config: Config,
    normalization: str = STANDARDIZE,
    holdout: float = 0.2,
    out: Union[str, Path, None] = None,
) -> Tuple[Probe, ProbeFit, Path]:
    """Probes the teacher of a config on its labelled data; stores the probe.

    Each labelled image is looked at once, through the validation pipeline and
    not through the augmentations: a probe is to tell what is in an image, the
    whole of it is in that view, and the result depends on no draw. Where the
    dataset makes the teacher's images by a pipeline of its own, that is used,
    in view 0, because it makes them at the teacher's size. The unlabelled
    dataset is not even built, so no label of the target is read.

    Args:
        config (Config): From :func:`~mmkd_custom.engine.config.load_config`,
            with a teacher in its model. Of a ``ProbedTeacher``, the teacher
            inside is probed anew, in a ``CachedTeacher`` too.
        normalization (str): 'none', 'l2' or 'standardize'. Defaults to
            'standardize'.
        holdout (float): Share of the images of each class that chooses the
            regularisation. Defaults to 0.2.
        out (str | Path, optional): The safetensors file. Defaults to None,
            the one that a ``ProbedTeacher`` of the config names, else
            ``probe.safetensors`` in the config's work directory.

    Returns:
        tuple[Probe, ProbeFit, Path]: What was stored, how it was chosen, and
        where it is.

    Raises:
        UserError: If the config has no teacher or no labels, too few images
            can be held out, or the file cannot be written.
    """
    if not 0 < holdout < 1:
        raise UserError(f'holdout: expected a share in (0, 1), got {holdout}.')
    spec, path = teacher_to_fit(config, *_KIND, out=out)
    seed = seed_of(config)
    loader = config.get('val_dataloader') or {}
    batch_size = loader.get('batch_size', 64)
    with scope_of(config):
        teacher = build_wrapped(spec, 'model.teacher', {})
        digest = teacher.digest()
        teacher.to(get_device())
        images = LabelledImages(config, teacher, holdout, batch_size, seed)
    print_log(
        f'Probing {teacher.describe()} on {len(images.train)} + '
        f'{len(images.held_out)} labelled images of {len(images.classes)} '
        'classes.',
        logger='current',
    )
    features, labels = _extract(teacher, images)
    present = set(labels.tolist())
    lacking = [n for i, n in enumerate(images.classes) if i not in present]
    if lacking or len(images.classes) < 2:
        raise UserError(
            'labelled: expected images of each of at least two classes, got '
            f'{len(present)} of {len(images.classes)}, none of '
            f'{", ".join(map(repr, lacking)) or "others"}.'
        )
    fit = fit_probe(features, labels, images.held_out, normalization)
    probe = Probe(
        tensors=fit.tensors,
        normalization=normalization,
        classes=images.classes,
        teacher=teacher.name,
        teacher_sha256=digest,
        feature=feature_name(teacher),
        input=input_summary(teacher),
        c=fit.chosen.c,
        accuracy=fit.chosen.held_out,
        split_sha256=images.split_sha256,
        seed=seed,
    )
    probe.save(path)
    return probe, fit, path


def probe_usage(config: Config, path: Union[str, Path]) -> str:
    """Returns how a run gets the probed teacher.

    Args:
        config (Config): The config whose teacher was probed.
        path (str | Path): The probe's file.
    """
    return usage(config, *_KIND[:2], path)


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

    Raises:
        UserError: If nothing is held out, a feature is not finite, or there
            is no such normalisation.
    """
    features, targets = features.double().cpu(), labels.cpu().numpy()
    if not len(held_out):
        raise UserError(
            'holdout: expected images to choose the regularisation by, got '
            'none, because every class has only one.'
        )
    if not torch.isfinite(features).all():
        raise UserError(
            'teacher: expected a finite feature of every labelled image, got '
            'one that is not.'
        )
    inside = np.ones(len(targets), dtype=bool)
    inside[np.asarray(held_out)] = False
    statistics = _statistics(features[inside], normalization)
    inputs = normalize(features, normalization, **statistics).numpy()
    trials = []
    with progress_bar() as progress:
        for c in progress.track(sorted(grid), description='probe'):
            # Each from zero, as in the end: the solver is content so early
            # that the start tells.
            model = _fit(c, inputs[inside], targets[inside])
            told = model.predict_proba(inputs[~inside])
            rest = targets[~inside]
            trials.append(
                Trial(
                    c,
                    100 * model.score(inputs[inside], targets[inside]),
                    100 * float((told.argmax(1) == rest).mean()),
                    log_loss(rest, told, labels=model.classes_),
                )
            )
    best = max(trials, key=lambda trial: (trial.held_out, -trial.loss))
    statistics = _statistics(features, normalization)
    inputs = normalize(features, normalization, **statistics).numpy()
    model = _fit(best.c, inputs, targets)
    linear = dict(weight=model.coef_, bias=model.intercept_)
    if len(model.classes_) == 2:
        # scikit-learn keeps the difference of the logits.
        linear = {k: np.concatenate([-v, v]) / 2 for k, v in linear.items()}
    tensors = {k: torch.from_numpy(np.asarray(v)) for k, v in linear.items()}
    tensors = {k: v.float() for k, v in {**tensors, **statistics}.items()}
    accuracy = 100 * model.score(inputs, targets)
    return ProbeFit(tensors, best, accuracy, trials)


def _extract(
    teacher: FrozenTeacher, images: LabelledImages
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Returns the feature (N, D) and the class (N,) of every image."""
    count = len(images.train) + len(images.held_out)
    features, labels = [], []
    with progress_bar() as progress:
        for inputs, targets in progress.track(
            images.still_batches(),
            total=-(-count // images.batch_size),
            description='teacher',
        ):
            features.append(teacher(inputs, (FEATURE,)).feature.cpu())
            labels.append(targets.cpu())
    return torch.cat(features), torch.cat(labels)


def _fit(c: float, inputs: np.ndarray, targets: np.ndarray):
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
