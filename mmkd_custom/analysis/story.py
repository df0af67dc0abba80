"""One picture of a comparison: the scores, and what each says of images."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device

from ..evaluation.report import LABELS, MACRO_F1
from ..fitting.config import inner_teacher, scope_of
from ..fitting.labelled import LabelledImages
from ..fitting.probe import probe_config
from ..models.outputs import LOGITS
from ..models.teachers.wrappers.base import build_wrapped
from .examples import IMAGE, LINE, TITLE, draw_some
from .runs import read_runs
from .students import ask, build_tested, check_alike, images_of, labels_of
from .style import ACCENT, GREY, INK, SMALL, WIDTH, drawing, save, short

#: Images of each class.
COLUMNS = 4
#: What is right and what is wrong; the sign before it says the same.
RIGHT, WRONG = '#0072B2', ACCENT
#: Inches of a bar of the upper panel.
_BAR = 0.27


class Said(NamedTuple):
    """What somebody says of the images that are shown.

    Args:
        who (str): Who.
        scores (np.ndarray): (N, C) probabilities.
    """

    who: str
    scores: np.ndarray


def tell_story(
    work_dirs: Mapping[str, Path], folder: Path, name: str = 'story'
) -> Path:
    """Draws two finished runs: their scores, and images they disagree on.

    Of each class some test images are drawn at random, alike every time, from
    those on which the two students disagree. What a linear probe of the last
    run's teacher says of them stands beside; it is fitted to the labelled
    images alone.

    Args:
        work_dirs (Mapping[str, Path]): Name to work directory, the run
            without a teacher first.
        folder (Path): An existing folder for PNG, SVG and the probe.
        name (str): Name of the files, without an ending. Defaults to 'story'.

    Returns:
        Path: The PNG.

    Raises:
        UserError: If a run has not finished, the runs have other test images,
            or matplotlib is not installed.
    """
    with drawing() as pyplot:
        runs = read_runs([*work_dirs.values()], [*work_dirs])
        tested = [build_tested(run) for run in runs]
        check_alike(tested)
        labels, names = labels_of(tested[0]), tested[0].classes
        answers = [ask(each) for each in tested]
        given = [each.classes for each in answers]
        rows = disagreements(labels, *given, len(names))
        shown = np.concatenate([draw_some(row, COLUMNS) for row in rows])
        said = [Said(each.run.name, each.scores[shown]) for each in answers]
        if len(shown):
            config = tested[-1].student.config
            probe = probe_says(config, shown.tolist(), folder)
            said.insert(0, Said("teacher's probe", probe))
        titles = [
            f'{short(names[i], 20)}: {len(row)} images on which the students '
            f'disagree, {runs[-1].name} right in '
            f'{int((given[-1][row] == i).sum())}'
            for i, row in enumerate(rows)
            if len(row)
        ]
        constant = runs[-1].results.get('constant') or {}
        scores = [
            (f'always {constant.get("class")!r}', constant.get(MACRO_F1)),
            *((run.name, run.results['last'].get(MACRO_F1)) for run in runs),
        ]
        figure = draw_story(
            pyplot,
            [(who, score) for who, score in scores if score is not None],
            str(runs[-1].results.get('task') or 'test images'),
            [pixels for _, pixels in images_of(tested[-1], shown)],
            labels[shown],
            said,
            titles,
        )
        return save(figure, folder, name)


def disagreements(
    labels: np.ndarray, one: np.ndarray, other: np.ndarray, classes: int
) -> List[np.ndarray]:
    """Finds images of each class on which two students disagree.

    Args:
        labels (np.ndarray): (N,) true classes.
        one (np.ndarray): (N,) classes that one gives.
        other (np.ndarray): (N,) classes that the other gives.
        classes (int): How many there are.

    Returns:
        list[np.ndarray]: Sorted indices, for each class.
    """
    return [
        np.flatnonzero((labels == index) & (one != other))
        for index in range(classes)
    ]


@torch.no_grad()
def probe_says(
    config: Config, indices: Sequence[int], folder: Path
) -> np.ndarray:
    """Asks a linear probe of a config's teacher about some test images.

    Args:
        config (Config): A distillation's; its labelled images are what the
            probe is fitted to.
        indices (Sequence[int]): Which images of ``test_dataloader``.
        folder (Path): Where the probe is stored.

    Returns:
        np.ndarray: (N, C) probabilities.
    """
    config = copy.deepcopy(config)
    # Few images: a process to load them would take longer.
    config.train_dataloader.num_workers = 0
    _, _, path = probe_config(config, out=Path(folder, 'probe.safetensors'))
    spec, _ = inner_teacher(config)
    with scope_of(config):
        teacher = build_wrapped(
            dict(type='ProbedTeacher', teacher=spec, probe=str(path)),
            'model.teacher',
            {},
        )
        teacher.to(get_device())
        # As the labelled images are seen, by their teacher's pipeline.
        config.train_dataloader.dataset.labelled = dict(
            config.test_dataloader.dataset, indices=list(indices)
        )
        images = LabelledImages(config, teacher, 0, len(indices))
        ((inputs, _),) = images.still_batches()
    return teacher(inputs, (LOGITS,)).logits.float().softmax(1).cpu().numpy()


def draw_story(
    pyplot: Any,
    scores: Sequence[Tuple[str, float]],
    task: str,
    images: Sequence[np.ndarray],
    labels: np.ndarray,
    said: Sequence[Said],
    titles: Sequence[str],
) -> Any:
    """Draws the picture of :func:`tell_story`.

    Args:
        pyplot (ModuleType): From :func:`~.style.drawing`.
        scores (Sequence[tuple[str, float]]): Macro-F1 by name, the last one
            being what the picture is about.
        task (str): What they were measured on.
        images (Sequence[np.ndarray]): Pixels (H, W, 3) uint8, class by class.
        labels (np.ndarray): (N,) their true classes.
        said (Sequence[Said]): What each says of them.
        titles (Sequence[str]): Of each class that is shown.

    Returns:
        Figure: The picture.
    """
    kinds = list(dict.fromkeys(labels.tolist()))
    row = TITLE + IMAGE + LINE * (len(said) + 1)
    upper = _BAR * len(scores) + 0.75
    figure = pyplot.figure(figsize=(WIDTH, upper + row * len(kinds)))
    height = figure.get_figheight()
    axis = figure.add_axes(
        (0.2, 1 - (upper - 0.35) / height, 0.72, _BAR * len(scores) / height)
    )
    _bars(axis, scores)
    axis.set_title(f'{LABELS[MACRO_F1]} in percent: {task}')
    width = 1 / COLUMNS
    for line, kind in enumerate(kinds):
        top = height - upper - row * line
        figure.text(0.01, top / height, titles[line], fontweight='bold')
        for column, index in enumerate(np.flatnonzero(labels == kind)):
            box = figure.add_axes(
                (
                    *(0.01 + column * width, (top - 0.1 - IMAGE) / height),
                    *(width - 0.02, IMAGE / height),
                )
            )
            box.axis('off')
            box.imshow(images[index], interpolation='lanczos')
            box.set_anchor('NW')
            _answers(box, [each.scores[index] for each in said], said, kind)
    return figure


def _bars(axis: Any, scores: Sequence[Tuple[str, float]]) -> None:
    places = range(len(scores))[::-1]
    values = [score for _, score in scores]
    last = len(scores) - 1
    colours = [ACCENT if i == last else GREY for i in range(len(scores))]
    axis.barh(places, values, color=colours, height=0.7)
    axis.set_yticks(places, [who for who, _ in scores], color=INK)
    axis.set_xlim(0, 100)
    axis.set_xticks([])
    axis.spines['bottom'].set_visible(False)
    axis.grid(False)
    for place, value in zip(places, values):
        axis.text(value + 1, place, f'{value:.1f}', va='center')


def _answers(
    axis: Any, scores: Sequence[np.ndarray], said: Sequence[Said], kind: int
) -> None:
    for line, (each, score) in enumerate(zip(said, scores)):
        right = int(score.argmax()) == kind
        axis.annotate(
            f'{"✓" if right else "✗"} {short(each.who, 18)} '
            f'{100 * score.max():.0f} %',
            (0, 0),
            xycoords='axes fraction',
            xytext=(0, -4 - 72 * LINE * line),
            textcoords='offset points',
            va='top',
            color=RIGHT if right else WRONG,
            fontsize=SMALL,
        )
