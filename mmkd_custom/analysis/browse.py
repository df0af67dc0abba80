"""A picture of what the student and the teacher of a config each see."""

from __future__ import annotations

from pathlib import Path
from typing import (
    Any,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Sequence,
    Union,
)

import numpy as np
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from PIL import Image, ImageDraw
from torchvision.utils import make_grid

from ..datasets import SampleKey, TwoStreamDataset
from ..datasets.two_stream.views import seeded_rng
from ..engine.config_data import config_scope, training_data
from ..errors import UserError
from ..models.batch import Pixels
from ..models.distillers.building import build_preprocessor, build_teachers
from ..models.teachers.base import FrozenTeacher
from ..stages import LABELLED, STREAMS, STUDENT, TEACHER

BOTH = 'both'
CHOICES = (*STREAMS, BOTH)

#: Pixels between images, and of a line of text.
GAP = 6
LINE = 14


class Seen(NamedTuple):
    """One sample as it is seen in several views.

    Args:
        caption (str): Its stream; of a labelled one class and file name too.
        views (list[dict[str, np.ndarray]]): For each view who sees what:
            ``student``, further views of the dataset such as ``strong``, then
            each teacher by name; uint8 (H, W, 3), RGB.
    """

    caption: str
    views: List[Dict[str, np.ndarray]]


def browse(
    config: Config, count: int = 4, views: int = 2, stream: str = BOTH
) -> List[Seen]:
    """Collects what student and teacher see of a config's training images.

    The images go through the config's own pipelines, data preprocessor (batch
    augmentations included, among the samples shown) and the teacher's own
    preparation, and are then de-normalised. A config without a teacher shows
    the student's alone, one with several, or an ensemble, each of them.

    Args:
        config (Config): From :func:`~mmkd_custom.engine.config.load_config`.
        count (int): Samples of each stream, spread evenly over it. Defaults
            to 4.
        views (int): Views of each, from the first on. Defaults to 2.
        stream (str): 'labelled', 'unlabelled', 'synthetic' or 'both', which
            is all that there are. Defaults to 'both'.

    Returns:
        list[Seen]: The samples, labelled ones first.

    Raises:
        UserError: If the config has no such stream or fewer views, or cannot
            be built.
    """
    for option, number in (('--count', count), ('--views', views)):
        if number < 1:
            raise UserError(
                f'{option}: expected a whole number >= 1, got {number}.'
            )
    sampler = (config.get('train_dataloader') or {}).get('sampler') or {}
    fixed = sampler.get('num_views')
    if fixed is not None and views > fixed:
        raise UserError(
            f'--views: expected at most num_views={fixed} of the sampler, got '
            f'{views}.'
        )
    dataset = training_data(config)
    model = config.get('model') or {}
    with config_scope(config):
        preprocessor = build_preprocessor(
            model.get('data_preprocessor', config.get('data_preprocessor'))
        )
        teachers = build_teachers(model.get('teacher'), model.get('teachers'))
    indices = _indices(dataset, count, stream)
    seen = [Seen(_caption(dataset, index), []) for index in indices]
    for view in range(views):
        data = pseudo_collate([dataset[SampleKey(i, view)] for i in indices])
        # Mixup and its like draw anew for every batch.
        with seeded_rng(dataset.seed, view):
            data = preprocessor(data, True)
        pictures = _pictures(data, preprocessor, [*teachers.values()])
        for number, sample in enumerate(seen):
            sample.views.append({k: p[number] for k, p in pictures.items()})
    return seen


def draw(seen: Sequence[Seen], path: Union[str, Path]) -> Path:
    """Draws a row of views for each sample, pixel for pixel.

    Args:
        seen (Sequence[Seen]): From :func:`browse`.
        path (str | Path): The picture; its ending says the format. Its folder
            is made.

    Returns:
        Path: The picture.

    Raises:
        UserError: If no picture can be written there.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in Image.registered_extensions():
        raise UserError(f'--out: expected a file such as F.png, got {path}.')
    picture = _render(seen)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    except OSError as error:
        raise UserError(
            f'--out: expected a file that can be written, got {path} '
            f'({error}).'
        ) from error
    return path


def _render(seen: Sequence[Seen]) -> Image.Image:
    """Lays out the picture that :func:`draw` writes."""
    rows = [
        [
            (f'{who} {pixels.shape[1]}x{pixels.shape[0]}, view {view}', pixels)
            for view, pictures in enumerate(sample.views)
            for who, pixels in pictures.items()
        ]
        for sample in seen
    ]
    tiles = [tile for row in rows for tile in row]
    pen = ImageDraw.Draw(Image.new('1', (1, 1)))
    widths = [max(pen.textlength(text), p.shape[1]) for text, p in tiles]
    # All tiles have one size, with two lines of text above the image.
    height = max(p.shape[0] for _, p in tiles) + 2 * LINE + GAP
    width = int(max(widths)) + GAP
    batch = torch.full((len(tiles), 3, height, width), 255, dtype=torch.uint8)
    for tile, (_, pixels) in zip(batch, tiles):
        # (H, W, 3) -> (3, H, W)
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
        rest = tile[:, 2 * LINE :]
        rest[:, : image.shape[1], : image.shape[2]] = image
    grid = make_grid(batch, nrow=len(rows[0]), padding=0)
    picture = Image.fromarray(grid.permute(1, 2, 0).numpy())
    pen = ImageDraw.Draw(picture)
    for number, (sample, row) in enumerate(zip(seen, rows)):
        # The font of older versions of Pillow knows these letters only.
        caption = sample.caption.encode('latin-1', 'replace').decode('latin-1')
        top = number * height
        pen.text((0, top), caption, fill='black')
        for column, (text, _) in enumerate(row):
            pen.text((column * width, top + LINE), text, fill='black')
    return picture


def _indices(dataset: TwoStreamDataset, count: int, stream: str) -> List[int]:
    chosen, start = [], 0
    for name in STREAMS:
        size = getattr(dataset, f'num_{name}')
        if name == stream and not size:
            raise UserError(
                f'--stream: expected one that the config has, got {stream}.'
            )
        if stream in (name, BOTH) and size:
            # Labelled images are listed class by class: over all of them.
            places = np.linspace(0, size - 1, min(count, size))
            chosen += [start + int(place) for place in places.round()]
        start += size
    return chosen


def _caption(dataset: TwoStreamDataset, index: int) -> str:
    stream, position = dataset.locate(index)
    if stream != LABELLED:
        # A file's name, and its folder's, may tell the class.
        return f'{stream}, sample {index}'
    info = dataset.labelled.get_data_info(position)
    label = info.get('gt_label')
    if label is None:
        label = np.argmax(info['gt_score'])
    names = dataset.CLASSES
    labels = [
        str(number if names is None else names[number])
        for number in np.atleast_1d(label).tolist()
    ]
    file = Path(info.get('img_path') or f'image {position}').name
    return f'labelled: {", ".join(labels)}, {file}'


def _pictures(
    data: dict, preprocessor: nn.Module, teachers: List[FrozenTeacher]
) -> Dict[str, np.ndarray]:
    """Returns what each sees of a preprocessed batch, (N, H, W, 3) uint8."""
    mean, std, rgb = getattr(preprocessor, 'pixels', Pixels())
    views = {STUDENT: data['inputs'], **(data.get('views') or {})}
    pictures = {}
    for name, images in views.items():
        # The teacher is shown with its own preparation.
        if name != TEACHER:
            own = denormalised(images, mean, std)
            pictures[name] = own if rgb else own[..., ::-1]
    images = views.get(TEACHER, views[STUDENT])
    asked = [
        pair
        for teacher in teachers
        for pair in _prepared(teacher, teacher.prepare(images, mean, std, rgb))
    ]
    for number, (member, images) in enumerate(asked):
        name = f'teacher {member.name}'
        # An ensemble may ask one network twice.
        name = name if name not in pictures else f'{name} ({number})'
        pictures[name] = denormalised(images, member.mean, member.std)
    return pictures


def _prepared(teacher: FrozenTeacher, inputs: torch.Tensor) -> Iterator[tuple]:
    """Yields each network that is asked, with the images it gets."""
    # Probed, adapted or cached, it prepares as the teacher inside it does.
    while isinstance(getattr(teacher, 'teacher', None), FrozenTeacher):
        teacher = teacher.teacher
    members = getattr(teacher, 'teachers', None)
    if members is None:
        yield teacher, inputs
    else:
        for member in members:
            yield from _prepared(member, member.prepare(inputs))


def denormalised(images: torch.Tensor, mean: Any, std: Any) -> np.ndarray:
    """Takes normalised images back to pixels.

    Args:
        images (Tensor): (N, 3, H, W).
        mean (Tensor, optional): As of
            :class:`~mmkd_custom.models.batch.Pixels`.
        std (Tensor, optional): Likewise.

    Returns:
        np.ndarray: (N, H, W, 3) uint8.
    """
    images = images.detach().cpu().double()
    if mean is not None:
        mean, std = (
            torch.as_tensor(values, dtype=torch.float64).view(1, -1, 1, 1)
            for values in (mean, std)
        )
        images = images * std + mean
    # (N, 3, H, W) -> (N, H, W, 3)
    images = images.round().clamp(0, 255).byte().permute(0, 2, 3, 1)
    return np.ascontiguousarray(images.numpy())
