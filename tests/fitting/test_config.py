"""Which teacher is fitted to, and that what a tool prints can be used."""

import pytest
from mmengine.config import Config

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
#: What the cache is told stays.
CACHE = dict(type='CachedTeacher', cache_dir='there', cache_dtype='float32')


def config_with(teacher, **options):
    return Config(dict(model=dict(teacher=teacher), **options))


def find(teacher, tmp_path, **options):
    config = config_with(teacher, work_dir=str(tmp_path / 'work'))
    return teacher_to_fit(config, *KIND, **options)


def line_of(config):
    return usage(config, *KIND[:2], 'runs/p.safetensors').split('\n\n')[1]


@pytest.mark.parametrize('cache', [None, CACHE])
def test_the_line_replaces_the_teacher_alone(tmp_path, cache):
    def around(teacher):
        return teacher if cache is None else dict(cache, teacher=teacher)

    # What was in its place, of which nothing may be left over.
    base = dict(teacher=around(dict(type='MMPretrainTeacher', model='x')))
    (tmp_path / 'base.py').write_text(f'model = {base}\n')
    line = line_of(config_with(around(TIMM)))
    (tmp_path / 'line.py').write_text(f"_base_ = ['./base.py']\n{line}\n")
    assert Config.fromfile(tmp_path / 'line.py').model.to_dict() == dict(
        teacher=around(
            dict(
                type='mmkd_custom.ProbedTeacher',
                probe='runs/p.safetensors',
                num_classes='auto',
                teacher=TIMM,
            )
        )
    )


def test_the_line_for_a_config_with_the_key(tmp_path):
    key = dict(teacher='timm/test_vit', unlabelled=None, cache=True)
    (tmp_path / 'base.py').write_text(f'distill = {key}\n')
    model = dict(teacher=dict(CACHE, teacher=TIMM))
    expanded = Config(dict(model=model), filename=str(tmp_path / 'base.py'))
    line = line_of(expanded)
    (tmp_path / 'line.py').write_text(f"_base_ = ['./base.py']\n{line}\n")
    given = Config.fromfile(tmp_path / 'line.py')
    assert 'model' not in given
    assert given.distill.to_dict() == dict(
        key,
        teacher=dict(
            type='mmkd_custom.ProbedTeacher',
            probe='runs/p.safetensors',
            num_classes='auto',
            teacher=TIMM,
        ),
    )


@pytest.mark.parametrize('cached', [False, True])
def test_lazy_config(tmp_path, cached):
    path = tmp_path / 'lazy.py'
    path.write_text(
        'from mmkd_custom.cache import CachedTeacher\n'
        'from mmkd_custom.models.teachers import ProbedTeacher, TimmTeacher\n'
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
    exec(line_of(lazy), scope)
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
    with pytest.raises(UserError) as error:
        find(teacher, tmp_path)
    assert 'model.teacher' in str(error.value)


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
