"""The labelled images of a config, as the run will show them its teacher."""

import shutil

import numpy as np
import pytest
import torch

from mmkd_custom.engine.config import load_config
from mmkd_custom.errors import UserError
from mmkd_custom.fitting.labelled import LabelledImages
from mmkd_custom.models.outputs import Outputs
from mmkd_custom.models.teachers.timm.teacher import TimmTeacher
from mmkd_custom.registry import MODELS
from tests.cli import REPOSITORY
from tests.helpers import make_domains

TINY = {
    'model.teacher.teacher.model_name': 'test_vit',
    'model.teacher.teacher.checkpoint': None,
    'train_dataloader.num_workers': 0,
}


@pytest.fixture
def config(tmp_path, monkeypatch):
    """The shipped domain-folder config with a target that is not there."""
    root = make_domains(tmp_path / 'data', per_class=5)
    shutil.rmtree(root / 'photo')
    for name, value in dict(
        DATA_ROOT=str(root), SOURCE='art', TARGET='photo', SEED='0'
    ).items():
        monkeypatch.setenv(name, value)
    path = REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder.py'
    return lambda **options: load_config(path, {**TINY, **options})


@pytest.fixture
def teacher():
    return TimmTeacher('test_vit', input_size=None)


def collect(batches):
    """Images and labels of a pass, ordered by their pixels."""
    images, labels = map(torch.cat, zip(*batches))
    order = sorted(range(len(images)), key=lambda i: images[i].sum().item())
    return images[order], labels[order]


def test_part_of_every_class_is_held_out(config, teacher):
    images = LabelledImages(config(), teacher, 0.4, 4)
    assert images.classes == ['cat', 'dog', 'owl']
    assert len(images.split_sha256) == 64
    # 5 images a class, in the order of the classes.
    assert np.bincount(images.held_out // 5).tolist() == [2, 2, 2]
    assert np.bincount(images.train // 5).tolist() == [3, 3, 3]
    both = np.concatenate([images.train, images.held_out])
    assert sorted(both.tolist()) == list(range(15))
    again, other = (
        LabelledImages(config(), teacher, 0.4, 4, seed) for seed in (0, 1)
    )
    assert images.held_out.tolist() == again.held_out.tolist()
    assert images.held_out.tolist() != other.held_out.tolist()


def test_every_class_keeps_an_image_to_train_on(config, teacher):
    options = {'train_dataloader.dataset.labelled.labels_per_class': 1}
    images = LabelledImages(config(**options), teacher, 0.5, 4)
    assert len(images.held_out) == 0 and len(images.train) == 3
    images = LabelledImages(config(), teacher, 0.99, 4)
    assert np.bincount(images.train // 5).tolist() == [1, 1, 1]
    assert len(LabelledImages(config(), teacher, 0, 4).train) == 15


def test_epochs_are_shuffled_views_and_repeat(config, teacher):
    images = LabelledImages(config(), teacher, 0.2, 5)
    batches = list(images.batches(0))
    assert [len(labels) for _, labels in batches] == [5, 5, 2]
    first, again = (torch.cat([x for x, _ in images.batches(0)]) for _ in '12')
    assert torch.equal(first, again)
    _, labels = map(torch.cat, zip(*images.batches(0)))
    assert labels.tolist() != sorted(labels.tolist())
    assert labels.bincount().tolist() == [4, 4, 4]
    # Another view of the same images.
    assert not torch.equal(
        collect(images.batches(0))[0], collect(images.batches(1))[0]
    )
    held = [x for x, _ in images.held_out_batches()]
    for image, other in zip(held, images.held_out_batches()):
        assert torch.equal(image, other[0])


def test_images_are_those_a_run_shows_its_teacher(config, teacher):
    shown = config()
    images = LabelledImages(shown, teacher, 0, 15)
    got, labels = collect(images.batches(3))
    model = MODELS.build(
        dict(
            shown.model,
            teacher=teacher,
            data_preprocessor=shown.data_preprocessor,
        )
    )
    seen = []

    def encode(inputs, wants):
        seen.append(inputs)
        return Outputs(torch.zeros(len(inputs), teacher.feature_dim))

    teacher._encode = encode
    dataset = images._views
    samples = [dataset[(i, 3)] for i in range(15)]
    data = dict(
        inputs=[sample['inputs'] for sample in samples],
        data_samples=[sample['data_samples'] for sample in samples],
    )
    model.train()
    batch = model.batch(**model.data_preprocessor(data, False))
    teacher.ask(batch, ('feature',))
    expected, targets = collect([(seen[0], batch.targets)])
    assert torch.equal(got, expected)
    assert torch.equal(labels, targets)


def test_held_out_images_go_through_the_validation_pipeline(config, teacher):
    options = {
        'val_dataloader.dataset.pipeline': [
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(32, 48)),
            dict(type='PackInputs'),
        ]
    }
    images = LabelledImages(config(**options), teacher, 0.4, 4)
    assert next(images.batches(0))[0].shape[-2:] == (96, 96)
    assert next(images.held_out_batches())[0].shape[-2:] == (48, 32)
    # Unless the teacher has images of its own.
    options['train_dataloader.dataset.pipelines.teacher'] = [
        dict(type='LoadImageFromFile'),
        dict(type='RandomResizedCrop', scale=64, crop_ratio_range=(0.5, 1.0)),
        dict(type='RandomFlip', prob=0.5, direction='horizontal'),
        dict(type='PackInputs'),
    ]
    images = LabelledImages(config(**options), teacher, 0.4, 4)
    for batches in (images.batches(0), images.held_out_batches()):
        assert next(batches)[0].shape[-2:] == (64, 64)
    # One that draws nothing need not show the student's crop.
    dataset = 'train_dataloader.dataset'
    options[f'{dataset}.pipelines.teacher'] = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(64, 64), interpolation='area'),
        dict(type='PackInputs'),
    ]
    options[f'{dataset}.clean'] = ['teacher']
    images = LabelledImages(config(**options), teacher, 0.4, 4)
    assert next(images.batches(0))[0].shape[-2:] == (64, 64)


def test_what_has_no_labelled_images_is_refused(config, teacher):
    empty = config()
    empty.train_dataloader = None
    with pytest.raises(UserError) as error:
        LabelledImages(empty, teacher, 0.2, 4)
    assert 'train_dataloader' in str(error.value)
