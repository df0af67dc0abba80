"""Configs of one method each: one step, and the same method on both data."""

import ast
import math

import pytest
import torch
from mmengine.registry import DefaultScope

from mmkd_custom.engine.config import load_config, read_config
from mmkd_custom.models.distillers.weights import SourceWeight
from mmkd_custom.models.networks import SubclassHead
from mmkd_custom.models.networks.soft_labels import save_soft_labels
from mmkd_custom.registry import MODELS
from tests.configs.shipped import METHODS, ROOT
from tests.helpers import make_batch

FOLDERS = [name for name in METHODS if name.endswith('_domain_folder.py')]
#: A convolutional network, whose last map lies on the student's grid.
TINY = dict(
    _delete_=True,
    type='TimmTeacher',
    model_name='test_efficientnet',
    input_size=None,
)
#: That of its feature.
WIDTH = 256


def build(name):
    """Builds the model of a config, with a teacher of random weights."""
    text, options = (ROOT / name).read_text(), {}
    if 'MMPretrainTeacher' in text:
        options['model.teacher.checkpoint'] = None
        if 'LowRankStudent' in text:
            options['model.student.checkpoint'] = None
    elif 'EnsembleTeacher' in text:
        classes = load_config(ROOT / name).model.student.head.num_classes
        member = dict(TINY, num_classes=classes)
        del member['_delete_']
        options['model.teacher.teacher.teachers'] = [member, dict(member)]
    elif 'teachers=' in text:
        for source in ('first', 'second'):
            options[f'model.teachers.{source}.teacher'] = dict(TINY)
    elif '_alone.py' not in text:
        maps = [-1] if '_crop.py' in text else None
        options['model.teacher.teacher'] = dict(TINY, map_indices=maps)
    if 'froster' in name:
        # As wide as the teacher, for a residual.
        options['model.student.head.mid_channels'] = [WIDTH]
    config = load_config(ROOT / name, options)
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        model = MODELS.build(
            dict(config.model, data_preprocessor=config.data_preprocessor)
        )
    # What the hooks tell it.
    model.progress = 1.0
    for term in model.terms().values():
        if isinstance(term.weight, SourceWeight):
            term.weight.share = 0.5
    for network in model.networks.values():
        if isinstance(network, SubclassHead):
            means, directions = network.means, network.directions
            network.fill(torch.rand_like(means), torch.rand_like(directions))
    return model


@pytest.mark.parametrize('name', FOLDERS)
def test_a_step_trains_the_student(name, layout, monkeypatch, tmp_path):
    labels = tmp_path / 'labels.safetensors'
    save_soft_labels(labels, torch.zeros(4, 2), '')
    for key, value in dict(layout(name), LABELS=str(labels)).items():
        monkeypatch.setenv(key, value)
    model = build(name).train()
    raw = make_batch([0, 1, None, None], size=model.input_size)
    for index, sample in enumerate(raw['data_samples']):
        sample.set_field(index, 'sample_idx', field_type='metainfo')
    names = {*model.images('distillation')} - {'student', 'teacher'}
    raw['views'] = {view: raw['inputs'].flip(3) for view in names}
    data = model.data_preprocessor(raw, True)
    losses = model(**data, mode='loss')
    terms = {key: v for key, v in losses.items() if 'loss' in key}
    assert {f'loss_{name}' for name in model.terms()} <= {*terms}
    assert all(math.isfinite(value) for value in terms.values())
    torch.stack(list(terms.values())).sum().backward()
    # A start for other runs has no use for the last layer.
    last = [*model.student_view.classifier.parameters()]
    unused = set(last) if name.startswith('self_pretraining') else set()
    assert unused == {
        parameter
        for parameter in model.parameters()
        if parameter.requires_grad and parameter.grad is None
    }
    model.after_step()


@pytest.mark.parametrize('name', FOLDERS)
def test_the_cells_have_the_same_method(name):
    """As it is written: to read all of them would take a minute."""

    def method(name):
        content = ast.parse((ROOT / name).read_text()).body
        found = {
            ast.unparse(part.targets[0]): ast.unparse(part.value)
            for part in content
            if isinstance(part, ast.Assign)
        }
        run, used = ast.literal_eval(found['_base_'])
        assert (ROOT / name).parent.joinpath(run).is_file()
        return used, found['model'].replace('domain_folder', 'elpv')

    other = name.replace('_domain_folder.py', '_elpv.py')
    assert method(name) == method(other)


def test_methods_share_a_cache_where_it_can_be_one(monkeypatch, tmp_path):
    monkeypatch.setenv('TEACHER_CACHE', str(tmp_path))

    def folder(name):
        return read_config(ROOT / name).model.teacher.cache_dir

    first, second, crops, other = map(
        folder,
        (
            'dist/dist_mbv3_domain_folder.py',
            'rkd/rkd_mbv3_domain_folder.py',
            'dmae/dmae_mbv3_domain_folder.py',
            'ezad/ezad_mbv3_domain_folder.py',
        ),
    )
    assert first == second != crops
    assert str(tmp_path) in first and str(tmp_path) in crops
    # Of a teacher of its own.
    assert other is None
    monkeypatch.delenv('TEACHER_CACHE')
    assert folder('dist/dist_mbv3_domain_folder.py') is None
