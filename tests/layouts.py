"""The official layouts of the protocols' data, with a few images each."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path
from typing import Callable, Dict, List, Sequence

import numpy as np
from mmpretrain.datasets.categories import CIFAR100_CATEGORIES
from PIL import Image

#: A few classes of each, in the official order.
OFFICEHOME = ('Alarm_Clock', 'Bed', 'ToothBrush', 'TV')
DOMAINNET = ('apple', 'teddy-bear', 'The_Eiffel_Tower', 't-shirt', 'zigzag')
WNIDS = ('n01440764', 'n01443537', 'n01484850', 'n01491361')


def write_image(path: Path, number: int, size: int = 40) -> None:
    """Writes a small image of its own colour, a PNG or a JPEG by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = tuple(number * step % 256 for step in (37, 101, 59))
    Image.new('RGB', (size, size - 4), colour).save(path)


def officehome(root: Path) -> Path:
    """Art and ``Real World``, two images of each class."""
    number = 0
    for domain in ('Art', 'Real World'):
        for name in OFFICEHOME:
            for index in range(1, 3):
                number += 1
                write_image(root / domain / name / f'{index:05d}.jpg', number)
    return root


def domainnet(root: Path) -> Path:
    """Real and clipart with their lists, an image a list and class."""
    number = 0
    for domain in ('real', 'clipart'):
        lines: Dict[str, List[str]] = dict(train=[], test=[])
        for label, name in enumerate(DOMAINNET):
            for split in lines:
                number += 1
                file = f'{domain}_{label + 1:03d}_{number:06d}.jpg'
                path = f'{domain}/{name}/{file}'
                write_image(root / path, number)
                lines[split].append(f'{path} {label}')
        (root / 'image_list').mkdir(exist_ok=True)
        for split, rows in lines.items():
            path = root / 'image_list' / f'{domain}_{split}.txt'
            path.write_text('\n'.join(rows) + '\n')
    return root


def cifar100(root: Path, per_class: int = 6) -> Path:
    """``cifar-100-python.tar.gz`` with fewer images than the real one."""

    def batch(count: int, seed: int) -> dict:
        rng = np.random.RandomState(seed)
        labels = [i % 100 for i in range(count)]
        return {
            'filenames': ['%06d.png' % i for i in range(count)],
            'batch_label': 'batch',
            'fine_labels': labels,
            'coarse_labels': [label // 5 for label in labels],
            'data': rng.randint(0, 256, (count, 3072)).astype(np.uint8),
        }

    meta = dict(
        fine_label_names=list(CIFAR100_CATEGORIES),
        coarse_label_names=[f'coarse {i}' for i in range(20)],
    )
    files = dict(
        train=batch(100 * per_class, 0), test=batch(100, 1), meta=meta
    )
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / 'cifar-100-python.tar.gz', 'w:gz') as archive:
        for name, content in files.items():
            data = pickle.dumps(content, protocol=2)
            info = tarfile.TarInfo(f'cifar-100-python/{name}')
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return root


def imagenet(root: Path) -> Path:
    """Two training images of each class, and one for validation.

    With SimCLR's lists: one image of each class in the one, all in the other.
    """
    listed: List[str] = []
    for number, wnid in enumerate(WNIDS):
        for index in range(2):
            name = f'{wnid}_{index + 10}.JPEG'
            write_image(root / 'train' / wnid / name, 2 * number + index)
            listed.append(name)
        name = f'ILSVRC2012_val_{number + 1:08d}.JPEG'
        write_image(root / 'val' / wnid / name, number)
    (root / 'meta').mkdir()
    for name, names in {
        '1percent.txt': listed[::2],
        '10percent.txt': listed,
    }.items():
        (root / 'meta' / name).write_text('\n'.join(names) + '\n')
    return root


def folders(root: Path, classes: Sequence[str] = ('a', 'b')) -> Path:
    """Any two domains in class folders, JPEG and PNG."""
    number = 0
    for domain in ('art', 'photo'):
        for name in classes:
            for kind in ('jpg', 'png', 'jpg'):
                number += 1
                path = root / domain / name / f'{number:03d}.{kind}'
                write_image(path, number)
    return root


LAYOUTS: Dict[str, Callable[[Path], Path]] = dict(
    officehome=officehome,
    domainnet=domainnet,
    cifar100=cifar100,
    imagenet=imagenet,
    domain_folder=folders,
)

#: The two of each that its maker makes: source and target.
DOMAINS = dict(
    officehome=('Art', 'Real_World'),
    domainnet=('real', 'clipart'),
    domain_folder=('art', 'photo'),
)
