"""What is drawn is what the dataset makes and the teacher gets."""

import numpy as np
import pytest
import torch
from PIL import Image

from mmkd_custom.analysis.browse import Seen, browse, draw
from mmkd_custom.datasets import SampleKey
from mmkd_custom.engine.config import load_config
from mmkd_custom.engine.config_data import streams_of, training_data
from mmkd_custom.errors import UserError
from mmkd_custom.models import TimmTeacher
from tests.cli import REPOSITORY, run_tool
from tests.helpers import make_domains

CUSTOMKD = REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder.py'
ALONE = (
    REPOSITORY / 'configs/labelled_only/labelled_only_mbv3_domain_folder.py'
)
TINY = {
    'model.teacher.teacher.model_name': 'test_efficientnet',
    'model.teacher.teacher.checkpoint': None,
    'model.teacher.teacher.input_size': 64,
}


@pytest.fixture
def domains(tmp_path, monkeypatch):
    root = make_domains(tmp_path / 'data', per_class=2)
    for name, value in dict(
        DATA_ROOT=str(root), SOURCE='art', TARGET='photo', SEED='3'
    ).items():
        monkeypatch.setenv(name, value)
    return root


def rgb(item):
    """Pixels of an item as the pipeline packed it, B, G, R: (H, W, 3)."""
    return item['inputs'].flip(0).permute(1, 2, 0).numpy()


def test_pixels_are_those_of_dataset_and_teacher(domains):
    config = load_config(CUSTOMKD, TINY)
    seen = browse(config, count=3, views=2)
    dataset = training_data(load_config(CUSTOMKD, TINY))
    assert len(seen) == 6
    teacher = TimmTeacher(model_name='test_efficientnet', input_size=64)
    for sample, index in zip(seen, [0, 2, 5, 6, 8, 11]):
        for view, pictures in enumerate(sample.views):
            item = dataset[SampleKey(index, view)]
            own = rgb(item)
            np.testing.assert_array_equal(pictures['student'], own)
            shown = pictures['teacher test_efficientnet']
            inputs = torch.from_numpy(own.copy()).permute(2, 0, 1)[None]
            wanted = teacher.prepare(inputs)[0]
            wanted = wanted * torch.tensor(teacher.std).view(3, 1, 1)
            wanted = wanted + torch.tensor(teacher.mean).view(3, 1, 1)
            wanted = wanted.clamp(0, 255).permute(1, 2, 0).numpy()
            assert shown.shape == (64, 64, 3)
            assert np.abs(shown - wanted).max() <= 0.51
        first, second = (view['student'] for view in sample.views)
        assert (first != second).any()


def test_labels_are_told_of_labelled_images_only(domains):
    seen = browse(load_config(ALONE), count=3, views=1)
    assert [sample.caption for sample in seen[:3]] == [
        'labelled: cat, 000.jpg',
        'labelled: dog, 000.jpg',
        'labelled: owl, 001.jpg',
    ]
    for sample in seen[3:]:
        assert sample.caption.startswith('unlabelled, sample ')
        assert '.jpg' not in sample.caption
    assert list(seen[0].views[0]) == ['student']


def test_streams(domains):
    config = load_config(ALONE)
    labelled = browse(config, 2, 1, 'labelled')
    unlabelled = browse(config, 99, 1, 'unlabelled')
    assert [s.caption.split(':')[0] for s in labelled] == ['labelled'] * 2
    # No more than there are.
    assert len(unlabelled) == 6


def test_other_normalisation_and_order_of_channels(domains):
    config = load_config(
        ALONE,
        {
            'data_preprocessor.to_rgb': False,
            'data_preprocessor.mean': [10.0, 20.0, 30.0],
            'data_preprocessor.std': [1.0, 2.0, 3.0],
        },
    )
    (sample,) = browse(config, 1, 1, 'labelled')
    item = training_data(config)[SampleKey(0, 0)]
    np.testing.assert_array_equal(sample.views[0]['student'], rgb(item))


def test_an_ensemble_shows_what_each_of_its_teachers_gets(domains):
    members = [
        dict(
            type='mmkd_custom.TimmTeacher',
            model_name='test_efficientnet',
            input_size=size,
        )
        for size in (32, 64)
    ]
    config = load_config(CUSTOMKD, {})
    config.model.teacher.teacher = dict(
        type='mmkd_custom.EnsembleTeacher', teachers=members
    )
    (sample,) = browse(config, 1, 1, 'labelled')
    student, first, second = sample.views[0].values()
    assert (first.shape, second.shape) == ((32, 32, 3), (64, 64, 3))
    # Both are colours of the image and not normalised twice.
    for shown in (first, second):
        means = shown.mean((0, 1)) - student.mean((0, 1))
        assert np.abs(means).max() < 3


def test_picture_holds_every_pixel(tmp_path):
    rng = np.random.RandomState(0)

    def noise(size):
        return rng.randint(0, 256, (size, size, 3), dtype=np.uint8)

    seen = [
        Seen(caption, [dict(student=noise(8), teacher=noise(200))] * 2)
        for caption in ('first', 'ź')
    ]
    path = draw(seen, tmp_path / 'new' / 'picture.png')
    picture = np.asarray(Image.open(path))
    # All tiles have one size, and each image the same place in its own.
    rows, columns = 2, 4
    height, width = (s // n for s, n in zip(picture.shape, (rows, columns)))
    for row, sample in enumerate(seen):
        images = [p for view in sample.views for p in view.values()]
        for column, pixels in enumerate(images):
            tile = picture[row * height :, column * width :]
            size = len(pixels)
            np.testing.assert_array_equal(tile[28 : 28 + size, :size], pixels)
            # Something is written above.
            assert (tile[14:28, :width] < 128).any()


def test_refusals(domains, tmp_path):
    config = load_config(CUSTOMKD, TINY)
    for arguments, named in (
        ((0, 1), '--count: .* 0'),
        ((1, 0), '--views: .* 0'),
        ((1, 5), '--views: .*num_views=4'),
        ((1, 1, 'synthetic'), '--stream: .*synthetic'),
    ):
        with pytest.raises(UserError, match=named):
            browse(config, *arguments)
    (tmp_path / 'file').write_bytes(b'')
    seen = [Seen('x', [dict(student=np.zeros((4, 4, 3), np.uint8))])]
    for path in (tmp_path / 'picture', tmp_path / 'file' / 'a.png'):
        with pytest.raises(UserError, match='--out'):
            draw(seen, path)


def test_streams_of_a_config(domains):
    streams = streams_of(load_config(CUSTOMKD, TINY))
    # Validated and tested on the same.
    assert list(streams) == ['labelled', 'unlabelled', 'test']
    assert streams['labelled'].domain == 'art'
    assert streams['test'].domain == 'photo'
    config = load_config(ALONE)
    config.val_dataloader.dataset.domain = 'art'
    assert list(streams_of(config)) == [
        'labelled',
        'unlabelled',
        'val',
        'test',
    ]
    config.train_dataloader.dataset = config.train_dataloader.dataset.labelled
    config.test_dataloader = None
    assert list(streams_of(config)) == ['labelled', 'val']
    config.train_dataloader = None
    with pytest.raises(UserError, match='train_dataloader.dataset'):
        streams_of(config)


@pytest.mark.slow
def test_the_tool(domains, tmp_path):
    done = run_tool(
        'browse_dataset.py',
        CUSTOMKD,
        '--out',
        tmp_path / 'F.png',
        '--count',
        2,
        '--cfg-options',
        *(f'{name}={value}' for name, value in TINY.items()),
    )
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / 'F.png').width > 2 * (96 + 64)
