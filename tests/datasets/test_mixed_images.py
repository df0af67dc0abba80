"""Images mixed of two: what is mixed, and that a second call goes on."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mmkd_custom.datasets.mixed_images import (
    cutmix,
    diffusion_mixer,
    mix_images,
    mixup,
)
from mmkd_custom.errors import UserError
from tests.helpers import make_domains


def plain(value, size=8):
    return Image.fromarray(np.full((size, size, 3), value, np.uint8))


def test_mixup_is_the_weighted_mean():
    mixed = np.asarray(mixup(plain(200), plain(100), 0.25))
    assert (mixed == 125).all()


@pytest.mark.parametrize('share, inside', [(0.75, 16), (0.0, 64), (1.0, 0)])
def test_cutmix_pastes_one_box_of_its_share(share, inside):
    mixed = cutmix(plain(0), plain(9), share, np.random.RandomState(0))
    found = np.asarray(mixed)[..., 0] == 9
    assert found.sum() == inside
    rows, columns = found.any(1).sum(), found.any(0).sum()
    assert rows * columns == inside


def test_a_second_call_goes_on_and_draws_the_same(tmp_path):
    root = make_domains(tmp_path / 'data', per_class=1)
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    assert mix_images(root, whole, 4, cutmix, size=16, seed=3) == 4
    assert mix_images(root, parts, 2, cutmix, size=16, seed=3) == 2
    assert mix_images(root, parts, 4, cutmix, size=16, seed=3) == 2
    names = [f'{i:06d}.jpg' for i in range(4)]
    assert sorted(path.name for path in parts.glob('*.jpg')) == names
    contents = [(parts / name).read_bytes() for name in names]
    assert contents == [(whole / name).read_bytes() for name in names]
    assert len({*contents}) == 4
    with Image.open(parts / names[0]) as image:
        assert image.size == (16, 16)


def test_images_are_mixed_upright(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 255
    exif = Image.Exif()
    # Held upside down.
    exif[0x0112] = 3
    for name in 'ab':
        path = tmp_path / 'in' / f'{name}.png'
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path, exif=exif)
    mix_images(tmp_path / 'in', tmp_path / 'out', 1, mixup, size=8)
    with Image.open(tmp_path / 'out' / '000000.jpg') as image:
        mixed = np.asarray(image)
    assert mixed[0].max() < 50 and mixed[-1].min() > 200


def test_a_folder_has_images_of_one_kind(tmp_path):
    root, out = make_domains(tmp_path / 'data', per_class=1), tmp_path / 'out'
    given = dict(mixer=cutmix, size=16, how=dict(how='diffusion', steps=25))
    assert mix_images(root, out, 2, **given) == 2
    for options, word in (
        (dict(how=None), 'how'),
        (dict(how=dict(how='diffusion', steps=9)), 'steps'),
        (dict(size=8), 'size'),
        (dict(seed=1), 'seed'),
    ):
        with pytest.raises(UserError, match=f'another .*{word}'):
            mix_images(root, out, 3, **{**given, **options})
    assert len([*out.glob('*.jpg')]) == 2
    assert mix_images(root, out, 3, **given) == 1
    (out / 'mixed_images.json').unlink()
    with pytest.raises(UserError, match='another'):
        mix_images(root, out, 4, **given)


def test_wrong_input_is_named(tmp_path):
    root = make_domains(tmp_path / 'data', per_class=1)
    out = tmp_path / 'out'
    for options, word in (
        (dict(folder=tmp_path / 'none'), 'none'),
        (dict(out=root / 'art'), str(root)),
        (dict(folder=root / 'art' / 'cat'), 'cat'),
        (dict(count=0), 'count'),
        (dict(alpha=0.0), 'alpha'),
        (dict(size=-1), 'size'),
    ):
        given = {**dict(folder=root, out=out, count=1, mixer=mixup), **options}
        with pytest.raises(UserError, match=word):
            mix_images(**given)
    (root / 'art' / 'cat' / '000.jpg').write_bytes(b'no image')
    with pytest.raises(UserError, match='000.jpg'):
        mix_images(root, out, 50, mixup, size=8)


def test_without_diffusers_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'diffusers', None)
    with pytest.raises(UserError, match='pip install diffusers'):
        diffusion_mixer(tmp_path, tmp_path)


class Pipeline:
    """What is used of a pipeline of diffusers."""

    def __init__(self, path):
        self.path = path
        if path.endswith('prior'):
            self.interpolate = lambda images, weights, **options: dict(
                image_embeds=[
                    weight * np.asarray(image)[0, 0, 0]
                    for image, weight in zip(images, weights)
                ]
            )

    @classmethod
    def from_pretrained(cls, path, local_files_only):
        assert local_files_only
        if path.endswith('half'):
            raise OSError('no file named config.json')
        return cls(path)

    def to(self, device):
        return self

    def set_progress_bar_config(self, disable):
        assert disable

    def __call__(self, image_embeds, height, width, **options):
        assert options.keys() == {'num_inference_steps', 'generator'}
        return SimpleNamespace(images=[plain(round(sum(image_embeds)), 8)])


def test_diffusion_interpolates_and_draws(tmp_path, monkeypatch):
    library = ModuleType('diffusers')
    library.DiffusionPipeline = Pipeline
    monkeypatch.setitem(sys.modules, 'diffusers', library)
    folders = [tmp_path / name for name in ('prior', 'decoder')]
    with pytest.raises(UserError, match='--prior'):
        diffusion_mixer(*folders)
    for folder in folders:
        folder.mkdir()
        (folder / 'model_index.json').write_text('{}')
    mix = diffusion_mixer(*folders)
    mixed = mix(plain(200), plain(100), 0.25, np.random.RandomState(0))
    assert (np.asarray(mixed) == 125).all()
    (tmp_path / 'half').mkdir()
    (tmp_path / 'half' / 'model_index.json').write_text('{}')
    with pytest.raises(UserError, match='--decoder .*config.json'):
        diffusion_mixer(folders[0], tmp_path / 'half')
    with pytest.raises(UserError, match='interpolates'):
        diffusion_mixer(folders[1], folders[1])
