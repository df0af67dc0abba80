"""Writes images that are each mixed of two others, for a synthetic stream."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Union

import numpy as np
from PIL import Image, ImageOps

from ..errors import UserError
from ..utils.files import write_atomic
from ..utils.progress import progress
from .images import is_image_name, visible_files
from .two_stream.views import derive_seed

MIXUP, CUTMIX, DIFFUSION = 'mixup', 'cutmix', 'diffusion'

#: Beside the images: how they were made.
OPTIONS_FILE = 'mixed_images.json'

#: Two images of one size, the share of the first and what is drawn from.
Mixer = Callable[
    [Image.Image, Image.Image, float, np.random.RandomState], Image.Image
]


def mix_images(
    folder: Union[str, Path],
    out: Union[str, Path],
    count: int,
    mixer: Mixer,
    size: int = 192,
    alpha: float = 1.0,
    seed: int = 0,
    how: Optional[Dict[str, Any]] = None,
) -> int:
    """Writes JPEG files, each mixed of two images drawn from a folder.

    Whatever class they are of, and stretched to a square. Image i is a
    function of (folder, mixer, size, alpha, seed, i): the same call goes on
    where an earlier one ended, and another one is refused.

    Args:
        folder (str | Path): Images in it and below.
        out (str | Path): Gets ``000000.jpg`` and so on; it is made.
        count (int): How many are to be there in the end.
        mixer (Callable): :func:`mixup`, :func:`cutmix`, or what
            :func:`diffusion_mixer` returns.
        size (int): Height and width in pixels. Defaults to 192.
        alpha (float): The share of the first image is drawn from
            Beta(alpha, alpha). Defaults to 1.0.
        seed (int): Defaults to 0.
        how (dict, optional): What else the mixer is made of, to be compared
            with that of an earlier call. Defaults to None, its name.

    Returns:
        int: How many were written by this call.

    Raises:
        UserError: If an option has no such value, there are not two images,
            one is broken, the folder has images of other options, or files
            cannot be written.
    """
    for name, value in dict(count=count, size=size, alpha=alpha).items():
        if not value > 0:
            raise UserError(f'{name}: expected a number > 0, got {value}.')
    folder, out = Path(folder).expanduser(), Path(out).expanduser()
    paths = _sources(folder, out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in out.iterdir()}
    except OSError as error:
        raise UserError(f'{out}: cannot be written ({error}).') from error
    _check_options(
        out,
        dict(
            how or dict(how=mixer.__name__),
            **dict(folder=str(folder.resolve()), images=len(paths)),
            **dict(size=size, alpha=alpha, seed=seed),
        ),
        any(map(is_image_name, there)),
    )
    written = 0
    with progress('mixing', count, 'images') as bar:
        for number in range(count):
            name = f'{number:06d}.jpg'
            if name not in there:
                rng = np.random.RandomState(
                    derive_seed(seed, 'mix', number) % 2**32
                )
                pair = rng.choice(len(paths), 2, replace=False)
                first, second = (_read(paths[i], size) for i in pair)
                share = float(rng.beta(alpha, alpha))
                _write(out / name, mixer(first, second, share, rng))
                written += 1
            bar.advance()
    return written


def mixup(
    first: Image.Image,
    second: Image.Image,
    share: float,
    rng: Optional[np.random.RandomState] = None,
) -> Image.Image:
    """Returns share * first + (1 - share) * second."""
    return Image.blend(second, first, share)


def cutmix(
    first: Image.Image,
    second: Image.Image,
    share: float,
    rng: np.random.RandomState,
) -> Image.Image:
    """Returns the first image with a box of the second, 1 - share of it."""
    width, height = first.size
    part = (1 - share) ** 0.5
    w, h = round(width * part), round(height * part)
    x, y = rng.randint(width - w + 1), rng.randint(height - h + 1)
    mixed, box = first.copy(), (x, y, x + w, y + h)
    mixed.paste(second.crop(box), box)
    return mixed


def diffusion_mixer(
    prior: Union[str, Path],
    decoder: Union[str, Path],
    steps: int = 25,
    device: str = 'cpu',
) -> Mixer:
    """Returns a mixer of two pipelines of diffusers on the local disk.

    The prior embeds both images and interpolates; the decoder draws an image
    of that. No prompt and no class takes part. Nothing is downloaded.

    Args:
        prior (str | Path): Folder of a pipeline with ``interpolate``, such as
            Kandinsky's prior.
        decoder (str | Path): Folder of one that takes what that returns.
        steps (int): Denoising steps of each. Defaults to 25.
        device (str): Where they run. Defaults to 'cpu'.

    Raises:
        UserError: If diffusers is not installed, or a folder holds no such
            pipeline.
    """
    try:
        import torch
        from diffusers import DiffusionPipeline
    except ImportError as error:
        raise UserError(
            'diffusion: expected the library diffusers, got an error as it '
            f'was imported ({error}): pip install diffusers transformers.'
        ) from error
    loaded: List[Any] = []
    for option, path in (('--prior', prior), ('--decoder', decoder)):
        if not Path(path, 'model_index.json').is_file():
            raise UserError(
                f'{option} {path}: expected the folder of a diffusers '
                'pipeline, with model_index.json, got none.'
            )
        try:
            pipeline = DiffusionPipeline.from_pretrained(
                str(path), local_files_only=True
            )
        # Whatever its parts complain of.
        except Exception as error:
            raise UserError(
                f'{option} {path}: expected a complete diffusers pipeline, '
                f'got {type(error).__name__}: {str(error)[:200]}.'
            ) from error
        loaded.append(pipeline.to(device))
        loaded[-1].set_progress_bar_config(disable=True)
    if not hasattr(loaded[0], 'interpolate'):
        raise UserError(
            f'--prior {prior}: expected a pipeline that interpolates, such as '
            f"Kandinsky's prior, got {type(loaded[0]).__name__}."
        )

    def mix(
        first: Image.Image,
        second: Image.Image,
        share: float,
        rng: np.random.RandomState,
    ) -> Image.Image:
        generator = torch.Generator().manual_seed(int(rng.randint(2**31)))
        run = dict(num_inference_steps=steps, generator=generator)
        between = loaded[0].interpolate(
            [first, second], [share, 1 - share], **run
        )
        width, height = first.size
        drawn = loaded[1](**between, height=height, width=width, **run)
        # Some draw multiples of 64 pixels alone.
        return drawn.images[0].resize(first.size, Image.BICUBIC)

    return mix


def _sources(folder: Path, out: Path) -> List[Path]:
    if not folder.is_dir():
        raise UserError(
            f'{folder}: expected an existing folder of images, got none.'
        )
    if folder.resolve() in (out.resolve(), *out.resolve().parents):
        raise UserError(
            f'{out}: expected a folder outside {folder}, whose images would '
            'be mixed with their own mixes.'
        )
    names = sorted(filter(is_image_name, visible_files(folder)))
    if len(names) < 2:
        raise UserError(
            f'{folder}: expected two images at least in it or below, got '
            f'{len(names)}.'
        )
    return [folder / name for name in names]


def _check_options(out: Path, options: Dict[str, Any], images: bool) -> None:
    """Notes how images are made; refuses to go on with others."""
    path = out / OPTIONS_FILE
    try:
        if images:
            before = json.loads(path.read_text()) if path.is_file() else {}
            if before == options:
                return
            differ = [k for k in options if before.get(k) != options[k]]
            raise UserError(
                f'{out}: expected a new or empty folder, or one of the same '
                f'options, got images made with another {", ".join(differ)}.'
            )
        write_atomic(path, json.dumps(options, indent=2).encode())
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            f'{path}: expected the options of the images beside it, got a '
            f'file that cannot be read or written ({error}).'
        ) from error


def _read(path: Path, size: int) -> Image.Image:
    try:
        with Image.open(path) as image:
            image = ImageOps.exif_transpose(image).convert('RGB')
            return image.resize((size, size), Image.BICUBIC)
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(
            f'{path}: expected an image, got a file that cannot be decoded '
            f'({error}).'
        ) from error


def _write(path: Path, image: Image.Image) -> None:
    content = io.BytesIO()
    image.convert('RGB').save(content, 'JPEG', quality=95)
    try:
        write_atomic(path, content.getvalue())
    except OSError as error:
        raise UserError(f'{path}: cannot be written ({error}).') from error
