"""Zero-shot accuracy, and that of a linear probe, over data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from sklearn.metrics import f1_score

from ..errors import UserError
from ..fitting.config import inner_teacher, scope_of
from ..fitting.logistic import fit_probe, stratified_folds
from ..models.teachers.open_clip.text_tower import text_tower_of
from ..models.teachers.open_clip.zero_shot import load_templates
from ..models.teachers.wrappers.base import build_wrapped
from ..models.teachers.wrappers.probed import STANDARDIZE, normalize
from .data_sets import DataSet, data_sets
from .image_towers import ImageTowers, Said, labels_of

#: What cosines are multiplied with; an order of classes does not depend on it.
LOGIT_SCALE = 100.0


def zero_shot(
    config: Config,
    checkpoint: Union[str, Path],
    classes: Optional[Sequence[str]] = None,
    templates: Union[str, Sequence[str]] = 'general',
    folders: Sequence[Union[str, Path]] = (),
    probe: bool = False,
    with_teacher: bool = False,
) -> List[Dict[str, Any]]:
    r"""Joins a student's image tower with its teacher's text tower.

    A class is the mean of the L2-normalised embeddings of its prompts,
    normalised again; logits are :math:`100 \cos(s, w_c)`.

    Args:
        config (Config): From :func:`~mmkd_custom.engine.config.load_config`,
            of the student's run.
        checkpoint (str | Path): Of the run, or its ``student.pth``.
        classes (Sequence[str], optional): See :func:`.data_sets.data_sets`.
            Defaults to None.
        templates (str | Sequence[str]): See
            :func:`~mmkd_custom.models.teachers.open_clip.zero_shot.load_templates`.
            Defaults to 'general'.
        folders (Sequence[str]): Data sets. Defaults to none, the config's.
        probe (bool): Whether multinomial logistic regression is fitted, too,
            to the frozen features of the training images of each; what it
            consumes is what the projection does. Defaults to False.
        with_teacher (bool): Whether the teacher's own image tower is
            evaluated beside. Defaults to False.

    Returns:
        list[dict[str, Any]]: For each data set and tower ``data``, ``tower``,
        ``images``, ``classes``; in percent ``top1`` and ``macro_f1``,
        ``constant_top1`` and ``constant_macro_f1`` of always giving the most
        frequent class, and with ``probe`` those of the probe, and its ``c``.

    Raises:
        UserError: If the teacher has no text tower, student and texts differ
            in width, or anything the user gave is wrong.
    """
    prompts = load_templates(templates, '--templates')
    spec = inner_teacher(config)[0]
    if not isinstance(spec, dict):
        raise UserError(
            'config: model.teacher: expected the teacher whose text tower '
            'names the classes, got none.'
        )
    with scope_of(config):
        teacher = build_wrapped(spec, 'model.teacher', {})
        texts = text_tower_of(teacher)
        towers = ImageTowers(
            config, checkpoint, teacher if with_teacher else None
        )
        if towers.width != texts.width:
            raise UserError(
                f'checkpoint {checkpoint}: expected an embedding of width '
                f'{texts.width}, as the texts of {teacher.name} have, got '
                f'{towers.width}.'
            )
        found = data_sets(config, folders, classes)
    # Built: what goes wrong from here on is not the config's mistake.
    for data in found:
        if probe and data.train is None:
            raise UserError(
                f'{data.name}: expected training images, which a probe is '
                'fitted to, in a folder train beside test, got none.'
            )
    rows = []
    for data in found:
        weight = texts.classes(data.classes, prompts)
        rows += _rows(data, towers, weight, probe)
    return rows


def _rows(
    data: DataSet, towers: ImageTowers, weight: torch.Tensor, probe: bool
) -> List[Dict[str, Any]]:
    truth, count = labels_of(data.test, data.name), weight.shape[1]
    if truth.min() < 0 or truth.max() >= count:
        raise UserError(
            f'--classes: expected a name for each label of {data.name}, up to '
            f'{truth.max()}, got {count}.'
        )
    constant = np.full(len(truth), np.bincount(truth).argmax())
    labels = labels_of(data.train, data.name) if probe else None
    if probe and {*labels.tolist()} != {*range(count)}:
        raise UserError(
            f'{data.name}: expected training images of each of {count} '
            f'classes, which a probe is fitted to, got {len({*labels})}.'
        )
    tested = towers.say(data.test, data.name)
    trained = towers.say(data.train, f'{data.name}, train') if probe else {}
    rows = []
    for tower, said in tested.items():
        logits = LOGIT_SCALE * F.normalize(said.embedding, dim=1) @ weight
        row = dict(
            data=data.name, tower=tower, images=len(truth), classes=count
        )
        row.update(_scores('', logits.argmax(1).numpy(), truth, count))
        row.update(_scores('constant_', constant, truth, count))
        if probe:
            answers, c = _probe(trained[tower], labels, said)
            row.update(_scores('probe_', answers, truth, count), c=c)
        rows.append(row)
    return rows


def _probe(train: Said, labels: np.ndarray, test: Said):
    """Fits a probe; returns its answers (N,) and the strength it chose."""
    fit = fit_probe(
        train.feature, torch.from_numpy(labels), stratified_folds(labels)
    )
    values = fit.tensors
    feature = normalize(
        test.feature, STANDARDIZE, values['mean'], values['std']
    )
    logits = feature @ values['weight'].T + values['bias']
    return logits.argmax(1).numpy(), fit.chosen.c


def _scores(
    prefix: str, answers: np.ndarray, truth: np.ndarray, count: int
) -> Dict[str, float]:
    f1 = f1_score(
        truth, answers, labels=range(count), average='macro', zero_division=0
    )
    return {
        f'{prefix}top1': 100 * float((answers == truth).mean()),
        f'{prefix}macro_f1': 100 * float(f1),
    }
