"""A tiny CLIP of random weights, and runs of DIME-FM with it."""

from __future__ import annotations

import pytest
from mmengine.registry import DefaultScope

from mmkd_custom.models.teachers.open_clip.text_tower import load_tower
from tests.models.teachers.open_clip.open_clip_models import register

#: Width of the embedding of ``tiny-vit``.
WIDTH = 12
CONFIG = 'dime_fm/dime_fm_mbv3_domain_folder.py'
#: What makes the shipped config one of that teacher.
OPTIONS = {
    'model.teacher.teacher.model_name': 'tiny-vit',
    'model.teacher.teacher.pretrained': None,
    'model.student.head.num_classes': WIDTH,
    'model.networks.text.templates': 'general',
}
#: The same with a file of sentences.
FILE = {
    'model.networks.text.class_names': None,
    'model.networks.text.templates': 'general',
}


@pytest.fixture(autouse=True)
def default_scope():
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        yield


@pytest.fixture(scope='session', autouse=True)
def tiny_clip(tmp_path_factory):
    register(tmp_path_factory.mktemp('models'))


@pytest.fixture(scope='session')
def tower(tiny_clip):
    return load_tower('tiny-vit')


@pytest.fixture
def dime_runner(small_runner):
    """Builds a runner of the shipped config for domain folders."""

    def make(work_dir='work', **options):
        return small_runner(work_dir, name=CONFIG, **{**OPTIONS, **options})

    return make


@pytest.fixture
def corpus(tmp_path):
    """A file of sentences, of which three have one wording."""
    lines = [f'sentence number {i} of a corpus' for i in range(20)]
    lines[7] = '  A cat.  '
    lines[11] = 'a  cat.'
    lines[13] = 'A CAT.'
    lines.insert(5, '   ')
    path = tmp_path / 'corpus.txt'
    path.write_text('\n'.join(lines) + '\n\n', encoding='utf-8')
    return path
