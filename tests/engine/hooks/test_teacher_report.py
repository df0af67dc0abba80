"""The report is logged once and changes nothing."""

import copy
import random

import numpy as np
import pytest
import torch

from mmkd_custom.cache import TeacherCacheHook
from mmkd_custom.engine import teacher_pass
from mmkd_custom.engine.hooks import teacher_report
from mmkd_custom.engine.hooks.standardize_teacher import StandardizeTeacherHook
from mmkd_custom.engine.hooks.teacher_report import TeacherReportHook
from mmkd_custom.errors import UserError
from mmkd_custom.utils.runs import left_by_run

#: A head with the classes of the data.
HEAD = {'model.teacher.teacher.num_classes': 3}


class Lines:
    """A logger that keeps what it is told."""

    def __init__(self):
        self.lines = []

    def info(self, message):
        self.lines.append(message)


def report(runner, monkeypatch, hook=None):
    """Runs the hook alone; gives the lines it logs."""
    logger = Lines()
    monkeypatch.setattr(runner, 'logger', logger)
    (hook or TeacherReportHook()).before_train(runner)
    return logger.lines


@pytest.fixture
def built(small_runner):
    """A runner with its loader built, as it is when training starts."""

    def make(**options):
        runner = small_runner(**options)
        runner._train_loop = runner.build_train_loop(runner._train_loop)
        return runner

    return make


def test_it_says_what_the_teacher_is_and_knows(built, monkeypatch):
    runner = built(**HEAD)
    lines = report(runner, monkeypatch)
    assert len(lines) == 2
    for word in ('Teacher test_efficientnet', '96x96', 'asked for', 'GFLOPs'):
        assert word in lines[0]
    model, dataset = runner.model, runner.train_dataloader.dataset
    samples = [dataset[(i, 0)] for i in range(dataset.num_labelled)]
    batch = runner.train_dataloader.collate_fn(samples)
    batch = model.batch(**model.data_preprocessor(batch, True))
    logits = model.teacher.ask(batch, ('logits',)).logits
    right = (logits.argmax(1) == batch.targets).double().mean() * 100
    assert f'{right:.2f} % top-1 on one view of 9 of 9 ' in lines[1]


def test_only_labelled_images_as_many_as_allowed(built, monkeypatch):
    runner = built(**HEAD)
    asked = []
    ask = runner.model.teacher.ask

    def watched(batch, wants):
        asked.extend(sample.sample_idx for sample in batch.samples)
        assert wants == ('logits',)
        return ask(batch, wants)

    runner.model.teacher.ask = watched
    lines = report(
        runner, monkeypatch, TeacherReportHook(max_samples=3, batch_size=2)
    )
    # One of each class, which folders list one after the other.
    assert asked == [0, 3, 6]
    assert '3 of 9 labelled' in lines[1]
    asked.clear()
    report(runner, monkeypatch, TeacherReportHook(max_samples=None))
    assert asked == list(range(9))
    lines = report(runner, monkeypatch, TeacherReportHook(accuracy=False))
    assert len(lines) == 1 and len(asked) == 9


def test_ranks_share_the_images(built, monkeypatch):
    runner = built(**HEAD)
    hook = TeacherReportHook(batch_size=2)
    whole, parts = [], []
    monkeypatch.setattr(
        teacher_report, 'all_reduce', lambda x: whole.append(x.clone())
    )
    report(runner, monkeypatch, hook)
    monkeypatch.setattr(
        teacher_report, 'all_reduce', lambda x: parts.append(x.clone())
    )
    for rank in (0, 1):
        monkeypatch.setattr(
            teacher_pass, 'get_dist_info', lambda rank=rank: (rank, 2)
        )
        report(runner, monkeypatch, hook)
    assert [int(part[1]) for part in parts] == [5, 4]
    assert torch.equal(sum(parts), whole[0])


@pytest.mark.parametrize(
    'options, words',
    [
        ({}, 'teacher has 1000 classes and the student 3'),
        ({'model.teacher.teacher.num_classes': 0}, 'gives no logits'),
    ],
)
def test_no_accuracy_where_classes_do_not_fit(
    built, monkeypatch, options, words
):
    lines = report(built(**options), monkeypatch)
    assert 'not measured' in lines[1] and words in lines[1]


def test_classes_in_another_order_are_no_accuracy(built, monkeypatch):
    runner = built(**HEAD)
    teacher = runner.model.teacher
    teacher.classes = ('dog', 'cat', 'owl')
    lines = report(runner, monkeypatch)
    assert 'not measured' in lines[1] and "'dog' in" in lines[1]
    teacher.classes = ('cat', 'dog', 'owl')
    assert '% top-1' in report(runner, monkeypatch)[1]


def test_neither_weights_nor_random_numbers_are_touched(built, monkeypatch):
    runner = built(**HEAD, **{'train_dataloader.num_workers': 1})
    model = runner.model
    digest = model.teacher.digest()
    before = copy.deepcopy(model.state_dict())
    info = copy.deepcopy(runner.message_hub.state_dict())
    states = (
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.get_rng_state(),
    )
    first = report(runner, monkeypatch)
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert model.teacher.digest() == digest
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in after)
    # Nothing of it gets into a checkpoint; a resumed run reports the same.
    assert str(runner.message_hub.state_dict()) == str(info)
    assert report(runner, monkeypatch) == first


@pytest.mark.slow
def test_the_student_is_the_same_with_it_and_without(small_runner, tmp_path):
    def without(config):
        config.custom_hooks = [
            hook
            for hook in config.custom_hooks
            if hook['type'] != 'TeacherReportHook'
        ]

    students = []
    for edit in (lambda config: None, without):
        runner = small_runner(**HEAD, edit=edit)
        kinds = [type(hook) for hook in runner.hooks]
        assert (TeacherReportHook in kinds) is (edit is not without)
        runner.train()
        students.append(runner.model.student.state_dict())
        for path in left_by_run(tmp_path / 'work'):
            path.unlink()
    first, second = students
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_nothing_for_a_model_without_teacher(built, monkeypatch):
    runner = built(
        name='labelled_only/labelled_only_mbv3_domain_folder.py',
        **{'train_dataloader.batch_size': 2},
    )
    assert report(runner, monkeypatch) == []


def test_it_comes_after_caching_and_standardising(built):
    # The shipped config has the other two.
    runner = built()
    runner.register_hook(StandardizeTeacherHook())
    kinds = [type(hook) for hook in runner.hooks]
    assert (
        kinds.index(TeacherCacheHook)
        < kinds.index(StandardizeTeacherHook)
        < kinds.index(TeacherReportHook)
    )
    assert 'TeacherReportHook' in runner.get_hooks_info()


@pytest.mark.parametrize('outputs', [None, ['feature', 'logits']])
def test_what_is_cached_is_read(built, monkeypatch, outputs):
    def edit(config):
        config.model.teacher.update(outputs=outputs, cache_dtype='float32')

    runner = built(**HEAD, edit=edit)
    live = list(report(runner, monkeypatch))
    TeacherCacheHook().before_train(runner)
    asked = []
    runner.model.teacher.teacher.register_forward_pre_hook(
        lambda _, args: asked.append(len(args[0]))
    )
    # One black image twice, then the labelled ones; logits that no
    # distiller asks for are kept if the cache is told to.
    assert report(runner, monkeypatch) == live
    assert asked == [1, 1, 9]
    assert report(runner, monkeypatch) == live
    assert asked[3:] == ([1, 1] if outputs else [1, 1, 9])


@pytest.mark.parametrize('option', ['max_samples', 'batch_size'])
def test_wrong_options_are_refused(option):
    with pytest.raises(UserError, match=option):
        TeacherReportHook(**{option: 0})
