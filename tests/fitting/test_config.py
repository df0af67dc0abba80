"""Which teacher is fitted to, and that what a tool prints can be used."""

import shlex
from argparse import ArgumentParser

import pytest
from mmengine.config import Config, DictAction

from mmkd_custom.cache import CachedTeacher
from mmkd_custom.engine.config import load_config
from mmkd_custom.errors import UserError
from mmkd_custom.fitting.config import (
    inner_teacher,
    seed_of,
    teacher_to_fit,
    usage,
)
from mmkd_custom.models.teachers import ProbedTeacher, TimmTeacher
from mmkd_custom.registry import MODELS

KIND = (ProbedTeacher, 'probe', 'p.safetensors')
TIMM = dict(
    type='TimmTeacher',
    model_name='test_vit',
    checkpoint=None,
    mean=[1.0, 2.0, 3.0],
    channels_last=False,
)
#: What was in its place, of which nothing may be left over.
OLD = dict(type='MMPretrainTeacher', model='x')
#: What the cache is told stays.
CACHE = dict(type='CachedTeacher', cache_dir='there', cache_dtype='float32')


def config_with(teacher, **options):
    return Config(dict(model=dict(teacher=teacher), **options))


def find(teacher, tmp_path, **options):
    config = config_with(teacher, work_dir=str(tmp_path / 'work'))
    return teacher_to_fit(config, *KIND, **options)


def parts(config):
    """The config's line, and the command's arguments if there are any."""
    text = usage(config, *KIND[:2], 'runs/p.safetensors').split('\n\n')
    return text[1], text[3] if len(text) > 2 else None


def with_command(path, arguments):
    parser = ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    given = parser.parse_args(shlex.split(arguments))
    return Config.fromfile(path), given.cfg_options


@pytest.mark.parametrize('cache', [None, CACHE])
def test_the_line_and_the_command_give_the_same_teacher(tmp_path, cache):
    def around(teacher):
        return teacher if cache is None else dict(cache, teacher=teacher)

    line, command = parts(config_with(around(TIMM)))
    base = dict(teacher=around(OLD))
    (tmp_path / 'base.py').write_text(f'model = {base}\n')
    (tmp_path / 'line.py').write_text(f"_base_ = ['./base.py']\n{line}\n")
    by_line = Config.fromfile(tmp_path / 'line.py')
    by_command, options = with_command(tmp_path / 'base.py', command)
    by_command.merge_from_dict(options)
    for config in (by_line, by_command):
        assert config.model.teacher.to_dict() == around(
            dict(
                type='mmkd_custom.ProbedTeacher',
                probe='runs/p.safetensors',
                num_classes='auto',
                teacher=TIMM,
            )
        )


@pytest.mark.parametrize(
    'spec',
    [
        # What the command line cannot say.
        dict(TIMM, checkpoint='a b.pth'),
        dict(TIMM, checkpoint='a(.pth'),
        dict(TIMM, mean=[[1.0]]),
        dict(TIMM, model_name='1'),
        dict(type='EnsembleTeacher', teachers=[TIMM, TIMM]),
        dict(type='MMPretrainTeacher', model=dict(backbone={})),
    ],
)
def test_no_command_that_loses_a_value(spec):
    line, command = parts(config_with(spec))
    scope = {}
    exec(line, scope)
    assert scope['model']['teacher']['teacher'] == spec
    assert command is None


@pytest.mark.parametrize('cached', [False, True])
def test_lazy_config(tmp_path, cached):
    path = tmp_path / 'lazy.py'
    path.write_text(
        'from mmkd_custom.models.teachers import (\n'
        '    CachedTeacher, ProbedTeacher, TimmTeacher)\n'
        'teacher = dict(type=ProbedTeacher, probe="p.st", '
        'dtype="bfloat16", teacher=dict(type=TimmTeacher, '
        'model_name="test_vit"))\n'
        + 'teacher = dict(type=CachedTeacher, teacher=teacher)\n' * cached
        + 'model = dict(teacher=teacher)\n'
    )
    lazy = load_config(path)
    spec, file = teacher_to_fit(lazy, *KIND)
    assert file.name == 'p.st'
    scope = {}
    exec(parts(lazy)[0], scope)
    inner = scope['model']['teacher']['teacher']
    if cached:
        inner = inner['teacher']
    for config in (spec, inner):
        teacher = MODELS.build(config)
        assert isinstance(teacher, TimmTeacher)
        assert str(teacher.dtype) == 'torch.bfloat16'


@pytest.mark.parametrize(
    'kind', ['CachedTeacher', 'mmkd_custom.CachedTeacher', CachedTeacher]
)
def test_of_a_cached_one_the_teacher_inside(tmp_path, kind):
    cache = dict(CACHE, type=kind, outputs=['feature', 'logits'])
    # The options of the cache are none of the teacher's.
    spec, path = find(dict(cache, teacher=TIMM), tmp_path)
    assert spec == TIMM and path == tmp_path / 'work' / 'p.safetensors'
    probed = dict(type='ProbedTeacher', probe='p.st', max_batch=3)
    spec, path = find(
        dict(cache, teacher=dict(probed, teacher=TIMM)), tmp_path
    )
    assert spec == dict(TIMM, max_batch=3) and path.name == 'p.st'


def test_where_the_teacher_itself_is_named():
    cached = config_with(dict(CACHE, teacher=TIMM))
    assert inner_teacher(cached) == (TIMM, 'model.teacher.teacher')
    assert inner_teacher(config_with(TIMM)) == (TIMM, 'model.teacher')
    assert inner_teacher(Config()) == (None, 'model.teacher')


def test_of_a_wrapper_the_teacher_inside_as_the_wrapper_runs_it(tmp_path):
    spec, path = find(
        dict(
            type='mmkd_custom.ProbedTeacher',
            probe='there.safetensors',
            max_batch=3,
            compile=None,
            teacher=dict(TIMM, max_batch=9, dtype='float16'),
        ),
        tmp_path,
    )
    assert spec == dict(TIMM, max_batch=3, dtype='float16')
    assert path.name == 'there.safetensors'
    spec, path = find(TIMM, tmp_path)
    assert spec == TIMM and path == tmp_path / 'work' / 'p.safetensors'
    # It is made when there is something to write.
    assert not path.parent.exists()
    assert find(TIMM, tmp_path, out=tmp_path / 'x')[1] == tmp_path / 'x'


@pytest.mark.parametrize(
    'teacher',
    [
        None,
        dict(type='ProbedTeacher'),
        CACHE,
        dict(CACHE, teacher=dict(type='ProbedTeacher')),
    ],
)
def test_no_teacher(tmp_path, teacher):
    with pytest.raises(UserError, match='its model has no teacher'):
        find(teacher, tmp_path)


@pytest.mark.parametrize(
    'config, seed',
    [
        ({}, 0),
        (dict(seed=3), 3),
        (dict(seed=3, randomness=dict(seed=None)), 0),
        (dict(seed=3, randomness=dict(seed=5)), 5),
    ],
)
def test_seed(config, seed):
    assert seed_of(Config(config)) == seed
