"""Tests of probing a config's teacher."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config

from mmkd_custom.datasets import split_digest
from mmkd_custom.datasets.domain_folder import DomainFolder
from mmkd_custom.errors import UserError
from mmkd_custom.fitting.logistic import fit_probe
from mmkd_custom.fitting.probe import probe_config, probe_usage
from mmkd_custom.models.teachers.timm.teacher import TimmTeacher
from mmkd_custom.models.teachers.wrappers.probed import Probe, ProbedTeacher
from mmkd_custom.registry import MODELS
from tests.helpers import make_domains

CLASSES = ['cat', 'dog', 'owl']
SIZE = 32
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    """One labelled domain; the target's folder is empty."""
    root = make_domains(tmp_path_factory.mktemp('data'), per_class=5)
    shutil.rmtree(root / 'photo')
    return root


@pytest.fixture(scope='module')
def weights(tmp_path_factory) -> str:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('weights') / 'vit.pth'
    torch.save(
        TimmTeacher('test_vit', input_size=SIZE).model.state_dict(), path
    )
    return str(path)


def teacher_config(weights: str) -> dict:
    return dict(
        type='TimmTeacher',
        model_name='test_vit',
        checkpoint=weights,
        input_size=SIZE,
    )


@pytest.fixture
def config(root, weights, tmp_path) -> Config:
    load = dict(type='LoadImageFromFile')
    pack = dict(type='PackInputs')
    views = [load, dict(type='RandomResizedCrop', scale=SIZE), pack]
    still = [load, dict(type='Resize', scale=(SIZE, SIZE)), pack]
    domain = dict(type='DomainFolder', data_root=str(root), pipeline=views)
    return Config(
        dict(
            default_scope='mmkd_custom',
            work_dir=str(tmp_path / 'work'),
            seed=3,
            model=dict(teacher=teacher_config(weights)),
            data_preprocessor=dict(
                num_classes=3, mean=MEAN, std=STD, to_rgb=True
            ),
            train_dataloader=dict(
                batch_size=4,
                num_workers=0,
                dataset=dict(
                    type='TwoStreamDataset',
                    labelled=dict(domain, domain='art'),
                    unlabelled=dict(domain, domain='photo'),
                ),
            ),
            val_dataloader=dict(
                batch_size=4, dataset=dict(domain, pipeline=still)
            ),
        )
    )


def by_hand(root: Path, weights: str):
    """Features and labels of all labelled images, without this package's."""
    import timm

    model = timm.create_model('test_vit', dynamic_img_size=True).eval()
    model.load_state_dict(torch.load(weights, weights_only=True))
    card = model.pretrained_cfg
    mean, std = (
        255 * torch.tensor(card[name]).view(3, 1, 1)
        for name in ('mean', 'std')
    )
    images, labels = [], []
    for label, name in enumerate(CLASSES):
        for path in sorted((root / 'art' / name).iterdir()):
            image = cv2.resize(cv2.imread(str(path)), (SIZE, SIZE))
            image = torch.tensor(image[..., ::-1].copy()).permute(2, 0, 1)
            images.append((image - mean) / std)
            labels.append(label)
    with torch.no_grad():
        features = model.forward_head(
            model.forward_features(torch.stack(images)), pre_logits=True
        )
    return features, torch.tensor(labels), torch.stack(images)


def test_probe_of_the_whole_images(config, root, weights, tmp_path):
    features, labels, images = by_hand(root, weights)
    probe, fit, path = probe_config(config, 'standardize')
    assert path == tmp_path / 'work' / 'probe.safetensors'
    stored = Probe.load(path)
    assert torch.equal(stored.tensors['weight'], probe.tensors['weight'])
    # A fifth of each class chose C; the end is fitted to all.
    wanted = fit_probe(features, labels, [[0, 5, 10]], grid=[probe.c]).tensors
    for name, atol in dict(mean=1e-4, weight=1e-3).items():
        assert torch.allclose(probe.tensors[name], wanted[name], atol=atol)
    teacher = ProbedTeacher(teacher_config(weights), str(path))
    # The images are the teacher's already.
    logits = teacher(images, ('logits',)).logits
    reference = (features - wanted['mean']) / wanted['std']
    reference = reference @ wanted['weight'].T + wanted['bias']
    assert torch.allclose(logits, reference, atol=1e-2)
    assert fit.train_accuracy == 100 == probe.accuracy
    assert (logits.argmax(1) == labels).all()


def test_what_the_file_says(config, root, weights):
    probe, _, path = probe_config(config, 'l2')
    stored = Probe.load(path)
    teacher = TimmTeacher('test_vit', checkpoint=weights, input_size=SIZE)
    assert stored.teacher_sha256 == teacher.digest()
    assert stored.teacher == 'test_vit' and stored.feature == 'pooled'
    assert stored.classes == CLASSES and stored.normalization == 'l2'
    assert stored.seed == 3 and stored.tensors.keys() == {'weight', 'bias'}
    dataset = DomainFolder(data_root=str(root), domain='art')
    assert stored.split_sha256 == split_digest(dataset)


def test_same_seed_same_file(config, tmp_path):
    files = []
    for name, seed in (('a', 3), ('b', 3), ('c', 4)):
        config.seed = seed
        _, _, path = probe_config(config, out=tmp_path / name)
        files.append(path.read_bytes())
    assert files[0] == files[1] != files[2]


def test_random_weights_are_those_of_the_seed(config, tmp_path):
    del config.model.teacher['checkpoint']
    one, _, _ = probe_config(config, out=tmp_path / 'a')
    torch.rand(3)
    other, _, _ = probe_config(config, out=tmp_path / 'b')
    assert one.teacher_sha256 == other.teacher_sha256


def test_teacher_view_makes_the_images(config, weights):
    size = 2 * SIZE
    config.model.teacher.input_size = size
    teacher = [
        dict(type='LoadImageFromFile'),
        dict(type='RandomResizedCrop', scale=size),
        dict(type='PackInputs'),
    ]
    config.train_dataloader.dataset.pipelines = dict(teacher=teacher)
    with_large, _, _ = probe_config(config)
    del config.train_dataloader.dataset['pipelines']
    # Now they are as small as the student's, and only then enlarged.
    with_small, _, _ = probe_config(config)
    assert with_large.teacher_sha256 == with_small.teacher_sha256
    means = [p.tensors['mean'] for p in (with_large, with_small)]
    assert not torch.allclose(*means, atol=1e-3)


def test_what_is_printed_can_be_used(config, tmp_path):
    _, _, path = probe_config(config, out=tmp_path / 'p.safetensors')
    scope = {}
    exec(probe_usage(config, path).split('\n\n')[1], scope)
    spec = scope['model']['teacher']
    assert spec.pop('_delete_') and spec['num_classes'] == 'auto'
    # What load_config makes of 'auto'.
    teacher = MODELS.build(dict(spec, num_classes=3))
    assert isinstance(teacher, ProbedTeacher) and teacher.num_classes == 3

    # A config that has it already is probed anew, into the same file.
    path.unlink()
    usage = probe_usage(config, path)
    config.model.teacher = spec
    probe, _, again = probe_config(config)
    assert again == path and path.is_file()
    assert probe.teacher == 'test_vit'
    assert probe_usage(config, again) == usage


def test_the_teacher_in_a_cache_is_probed(config, tmp_path):
    plain, _, _ = probe_config(config, out=tmp_path / 'plain')
    config.model.teacher = dict(
        type='CachedTeacher',
        teacher=config.model.teacher,
        cache_dtype='float32',
    )
    # No folder of a cache is made.
    probe, _, path = probe_config(config, out=tmp_path / 'p.safetensors')
    assert not list(tmp_path.rglob('*cache*'))
    assert probe.teacher_sha256 == plain.teacher_sha256
    assert torch.equal(probe.tensors['weight'], plain.tensors['weight'])
    # Probed anew, into the file that the probed one in the cache names.
    inner = dict(type='ProbedTeacher', probe=str(path))
    inner['teacher'] = config.model.teacher.teacher
    config.model.teacher.teacher = inner
    path.unlink()
    again, _, there = probe_config(config)
    assert there == path and path.is_file()
    assert torch.equal(again.tensors['weight'], plain.tensors['weight'])


def test_probed_anew_as_it_will_run(config, tmp_path):
    # The dtype beside the probe holds, so the probe belongs to its weights.
    spec = dict(
        type='ProbedTeacher',
        teacher=config.model.teacher,
        probe=str(tmp_path / 'p.safetensors'),
        dtype='bfloat16',
    )
    config.model.teacher = spec
    probe_config(config)
    assert MODELS.build(spec).teacher.dtype == torch.bfloat16


def no_teacher(config):
    config.model = dict(type='ImageClassifier')


def misspelt(config):
    config.model.teacher.type = 'TimTeacher'


def few_images(config):
    config.train_dataloader.dataset.labelled.indices = 6


@pytest.mark.parametrize(
    'change, options, named',
    [
        (None, dict(holdout=0), 'holdout'),
        (None, dict(holdout=1), 'holdout'),
        (None, dict(out='.'), '--out'),
        (None, dict(out=f'{__file__}/probe.safetensors'), '--out'),
        (few_images, {}, "'owl'"),
        (no_teacher, {}, 'model.teacher'),
        (misspelt, {}, "'TimmTeacher'"),
    ],
)
def test_what_cannot_be_probed_is_refused(config, change, options, named):
    if change is not None:
        change(config)
    with pytest.raises(UserError) as error:
        probe_config(config, **options)
    assert named in str(error.value)
