"""Whether MMPretrain alone understands what ships."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable, Sequence

import numpy as np
from PIL import Image

from ..errors import UserError
from ..utils.progress import progress

#: Refuses this package as if it were not installed, then does what a user of
#: MMPretrain does.
_CODE = """
import json, sys

class Refused:
    def find_spec(self, name, *_):
        if name.partition('.')[0] == 'mmkd_custom':
            raise ModuleNotFoundError(f'{name} is refused', name=name)

sys.meta_path.insert(0, Refused())
import torch
from mmpretrain import ImageClassificationInferencer

torch.set_num_threads(1)
config, weights, image = sys.argv[1:]
(said,) = ImageClassificationInferencer(
    config, pretrained=weights, device='cpu')(image)
print()
print(json.dumps(dict(
    scores=[float(s) for s in said['pred_scores']],
    named=said.get('pred_class'))))
"""
_SIZE = (300, 200)
_TOLERANCE = 1e-4


def check_elsewhere(
    folder: Path,
    classes: Sequence[str],
    scores_of: Callable[[Path], np.ndarray],
) -> None:
    """Has a process that cannot import this package use an exported folder.

    MMPretrain's ``ImageClassificationInferencer`` reads ``config.py`` and
    ``student.pth`` there and names the class of an image of noise.

    Args:
        folder (Path): With both files.
        classes (Sequence[str]): What it must choose from.
        scores_of (Callable): Path of an image to the probabilities (C,) that
            it must give, computed here.

    Raises:
        UserError: If it fails, or says something else.
    """
    rng = np.random.RandomState(0)
    pixels = rng.randint(0, 256, (*_SIZE[::-1], 3)).astype(np.uint8)
    with tempfile.TemporaryDirectory() as elsewhere:
        image = Path(elsewhere) / 'noise.png'
        Image.fromarray(pixels).save(image)
        wanted = np.asarray(scores_of(image))
        files = (folder / 'config.py', folder / 'student.pth', image)
        named = [str(file.resolve()) for file in files]
        # A user's own modules may lie in the current folder.
        where = os.pathsep.join(os.path.abspath(path) for path in sys.path)
        with progress('checking with MMPretrain alone'):
            done = subprocess.run(
                [sys.executable, '-c', _CODE, *named],
                cwd=elsewhere,
                env=dict(os.environ, PYTHONPATH=where),
                capture_output=True,
                text=True,
            )
    if done.returncode:
        *_, last = done.stderr.strip().splitlines() or ['no word']
        raise UserError(
            'the exported config.py and student.pth: expected files that '
            f'MMPretrain alone can use, got {last}'
        )
    said = json.loads(done.stdout.splitlines()[-1])
    off = np.abs(np.array(said['scores']) - wanted).max()
    # What is not a number is not within anything.
    if not off <= _TOLERANCE or said['named'] != classes[int(wanted.argmax())]:
        raise UserError(
            'the exported config.py and student.pth: expected MMPretrain '
            f'alone to say {wanted}, got {said}.'
        )
