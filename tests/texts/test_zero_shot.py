"""A student beside the texts of its teacher."""

import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score

from mmkd_custom.errors import UserError
from mmkd_custom.registry import DATASETS
from mmkd_custom.texts.image_towers import ImageTowers, labels_of
from mmkd_custom.texts.zero_shot import zero_shot
from tests.helpers import make_domains
from tests.texts.conftest import CONFIG, OPTIONS


@pytest.fixture
def config(small_config):
    return small_config(name=CONFIG, **OPTIONS)


@pytest.fixture
def checkpoint(config, tmp_path):
    from mmkd_custom.registry import MODELS

    path = tmp_path / 'student.pth'
    student = MODELS.build(config.model.student)
    torch.save(dict(state_dict=student.state_dict()), path)
    return path


def test_logits_are_cosines_with_the_mean_of_the_prompts(
    config, checkpoint, tower
):
    (row,) = zero_shot(config, checkpoint, templates=['a {}.', 'one {}'])
    dataset = DATASETS.build(config.test_dataloader.dataset)
    said = ImageTowers(config, checkpoint).say(dataset, 'it')['student']
    truth = labels_of(dataset, 'it')
    weights = []
    for name in ('cat', 'dog', 'owl'):
        mean = tower.embed([f'a {name}.', f'one {name}']).mean(0)
        weights.append(mean / mean.norm())
    logits = 100 * F.normalize(said.embedding) @ torch.stack(weights).T
    answers = logits.argmax(1).numpy()
    assert row['top1'] == pytest.approx(100 * (answers == truth).mean())
    expected = f1_score(truth, answers, average='macro', zero_division=0)
    assert row['macro_f1'] == pytest.approx(100 * expected)
    assert (row['images'], row['classes']) == (9, 3)
    # Three classes of three images.
    assert row['constant_top1'] == pytest.approx(100 / 3)
    assert row['constant_macro_f1'] == pytest.approx(100 / 6)
    assert said.feature.shape[1] == 1024


def test_a_list_of_data_sets_with_probes_and_the_teacher(
    config, checkpoint, tmp_path
):
    folders = []
    for name, classes in (('first', 'xy'), ('second', 'abc')):
        make_domains(tmp_path / name, ('train', 'test'), classes)
        folders.append(tmp_path / name)
    rows = zero_shot(
        config, checkpoint, folders=folders, probe=True, with_teacher=True
    )
    assert [(r['data'], r['tower'], r['classes']) for r in rows] == [
        ('first', 'student', 2),
        ('first', 'teacher', 2),
        ('second', 'student', 3),
        ('second', 'teacher', 3),
    ]
    # Hues tell the classes of these images.
    best = max(row['probe_top1'] for row in rows)
    assert best > 90 and all(row['c'] > 0 for row in rows)
    shutil.rmtree(folders[0] / 'train')
    with pytest.raises(UserError, match='train'):
        zero_shot(config, checkpoint, folders=folders, probe=True)
    # Class folders alone.
    (row,) = zero_shot(config, checkpoint, folders=[folders[0] / 'test'])
    assert row['data'] == 'test' and row['images'] == 12
    # The config's own: images of one class alone.
    config.train_dataloader.dataset.labelled.indices = 3
    with pytest.raises(UserError, match='each of 3 classes'):
        zero_shot(config, checkpoint, probe=True)


def test_classes_by_name_or_file(config, checkpoint, tmp_path):
    listed = tmp_path / 'classes.txt'
    listed.write_text('feline\ncanine\n\nnight bird\n')
    rows = [
        zero_shot(config, checkpoint, classes=classes)
        for classes in ([str(listed)], ['feline', 'canine', 'night bird'])
    ]
    assert rows[0] == rows[1]
    for wrong in (b'caf\xe9\n', b'\n'):
        listed.write_bytes(wrong)
        with pytest.raises(UserError, match='^--classes'):
            zero_shot(config, checkpoint, classes=[str(listed)])
    with pytest.raises(UserError, match='expected 3 names'):
        zero_shot(config, checkpoint, classes=['cat', 'dog'])


def test_what_does_not_fit_is_named(config, checkpoint, tmp_path):
    empty = tmp_path / 'none.txt'
    empty.write_text('\n')
    for templates in (str(empty), 'nowhere.txt', ['no place']):
        with pytest.raises(UserError, match='^--templates'):
            zero_shot(config, checkpoint, templates=templates)
    with pytest.raises(UserError, match='--data'):
        zero_shot(config, checkpoint, folders=[tmp_path / 'nowhere'])
    config.model.student.head.num_classes = 7
    with pytest.raises(UserError, match='head'):
        zero_shot(config, checkpoint)
    narrow = torch.load(checkpoint, weights_only=True)['state_dict']
    narrow['head.layers.1.fc.weight'] = torch.zeros(7, 1024)
    narrow['head.layers.1.fc.bias'] = torch.zeros(7)
    torch.save(narrow, checkpoint)
    with pytest.raises(UserError, match='width 12'):
        zero_shot(config, checkpoint)
    config.model.teacher.teacher = dict(
        type='TimmTeacher', model_name='test_efficientnet'
    )
    with pytest.raises(UserError, match='OpenCLIPTeacher'):
        zero_shot(config, checkpoint)


def test_labels_are_those_of_the_images(config):
    dataset = DATASETS.build(config.test_dataloader.dataset)
    assert (
        labels_of(dataset, 'it').tolist() == np.repeat([0, 1, 2], 3).tolist()
    )
    with pytest.raises(UserError, match='^nothing'):
        labels_of([], 'nothing')
