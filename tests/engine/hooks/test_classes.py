"""Classes are compared wherever two lists of them meet."""

import json
import shutil

import pytest
import torch
from mmengine import load

from mmkd_custom.engine.hooks.classes import ClassesHook
from mmkd_custom.engine.launch import test as run_test
from mmkd_custom.engine.launch import train
from mmkd_custom.errors import UserError
from tests.runners import PLAIN


@pytest.fixture
def check(small_runner):
    """Checks a runner whose training and validation data are built."""

    def make(**options):
        runner = small_runner(validate=True, **options)
        runner._train_loop = runner.build_train_loop(runner._train_loop)
        runner._val_loop = runner.build_val_loop(runner._val_loop)
        runner.call_hook('before_run')
        return runner

    return make


def of_mmpretrain(folder, **options):
    """Validation images read by MMPretrain, which numbers what it finds."""
    return {
        'val_dataloader.dataset': dict(
            _delete_=True,
            type='mmpretrain.CustomDataset',
            data_root=str(folder),
            pipeline=[
                dict(type='mmpretrain.LoadImageFromFile'),
                dict(type='mmpretrain.Resize', scale=96),
                dict(type='mmpretrain.PackInputs'),
            ],
            **options,
        )
    }


def test_runs_of_one_list_of_classes_start(check, tmp_path):
    check()
    check(work_dir='b', **of_mmpretrain(tmp_path / 'data' / 'photo'))


@pytest.mark.parametrize(
    'change, named',
    [
        (lambda photo: shutil.rmtree(photo / 'dog'), "'dog'"),
        (lambda photo: (photo / 'dog').rename(photo / 'hound'), "'hound'"),
        (lambda photo: shutil.copytree(photo / 'dog', photo / 'emu'), "'emu'"),
    ],
    ids=['lacking', 'renamed', 'more'],
)
def test_other_classes_to_validate_on_are_refused(
    check, tmp_path, change, named
):
    target = tmp_path / 'target'
    shutil.copytree(tmp_path / 'data' / 'photo', target)
    change(target)
    with pytest.raises(UserError, match=f'class {named}'):
        check(**of_mmpretrain(target))


def test_names_given_for_other_folders_are_refused(check, tmp_path):
    # MMPretrain numbers the sorted folders, whatever they are called.
    target = tmp_path / 'target'
    shutil.copytree(tmp_path / 'data' / 'photo', target)
    (target / 'dog').rename(target / 'zdog')
    names = ['cat', 'dog', 'owl']
    source = of_mmpretrain(tmp_path / 'data' / 'art', classes=names)
    (labelled,) = source.values()
    with pytest.raises(UserError, match="'dog'.*'zdog'"):
        check(
            **{'train_dataloader.dataset.labelled': labelled},
            **of_mmpretrain(target, classes=names),
        )


def test_labels_without_names_are_to_be_in_range(check, tmp_path):
    data = tmp_path / 'data' / 'photo'
    lists = tmp_path / 'list.txt'

    def given(label):
        lists.write_text(f'cat/000.jpg 0\nowl/000.jpg {label}\n')
        return of_mmpretrain(data, ann_file=str(lists))

    check(**given(2))
    with pytest.raises(UserError, match='num_classes: .*, got 3'):
        check(work_dir='b', **given(3))


def test_fewer_classes_than_the_model_has_are_refused(small_runner, tmp_path):
    small_runner()
    shutil.rmtree(tmp_path / 'data' / 'photo' / 'owl')
    shutil.rmtree(tmp_path / 'data' / 'art' / 'owl')
    runner = small_runner(
        work_dir='b', **{'model.student.head.num_classes': 3}
    )
    with pytest.raises(UserError, match='num_classes: .* 2, .*, got 3'):
        runner.test()


def test_a_checkpoint_of_other_classes_is_refused(
    small_config, small_runner, tmp_path
):
    small_runner(**PLAIN).train()
    student = tmp_path / 'work' / 'student.pth'
    last = tmp_path / 'work' / 'epoch_2.pth'
    for path in (student, last):
        assert run_test(small_config('test', **PLAIN), path)
        content = torch.load(path, weights_only=False)
        meta = content['meta']
        names = meta.get('dataset_meta', meta)
        names['classes'] = ['cat', 'owl', 'dog']
        torch.save(content, path)
        with pytest.raises(UserError, match=f"{path.name}: .* 'owl'"):
            run_test(small_config(path.stem, **PLAIN), path)
    config = small_config('resume', epochs=3, **PLAIN)
    config.resume, config.load_from = True, str(last)
    with pytest.raises(UserError, match="epoch_2.pth: .* 'owl'"):
        train(config)
    assert not (tmp_path / 'resume' / 'student.pth').exists()
    # What starts from weights may have another task.
    config = small_config('start', **PLAIN)
    config.load_from = str(last)
    train(config)
    assert (tmp_path / 'start' / 'student.pth').exists()


def test_without_labels_there_are_predictions_only(
    small_config, small_runner, tmp_path
):
    unlabelled = dict(
        _delete_=True,
        type='ImageFolder',
        data_root=str(tmp_path / 'data' / 'photo'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(96, 96)),
            dict(type='PackInputs'),
        ],
    )
    runner = small_runner(**PLAIN)
    weights = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=runner.model.state_dict()), weights)
    options = {
        **PLAIN,
        'test_dataloader.dataset': unlabelled,
    }
    with pytest.raises(UserError, match='test_evaluator.*--out'):
        run_test(small_config('a', **options), weights)
    config = small_config('b', **options)
    assert run_test(config, weights, predictions=tmp_path / 'o.pkl') == {}
    assert len(load(tmp_path / 'o.pkl')) == 9


def test_logits_of_other_classes_are_refused(check, monkeypatch):
    runner = check(**{'model.teacher.teacher.num_classes': 3})
    hook, model = ClassesHook(), runner.model
    teacher = model.teacher
    teacher.classes = ('dog', 'cat', 'owl')
    hook.before_run(runner)
    monkeypatch.setattr(
        model, 'asked', lambda name, any_view=False: ('feature', 'logits')
    )
    with pytest.raises(UserError, match="'dog'.* 'cat'"):
        hook.before_run(runner)
    teacher.classes = ('cat', 'dog', 'owl')
    hook.before_run(runner)
    # Names for prompts may be others, but in this order.
    teacher.own_words = True
    for names in (['Cat', 'hound', 'barn owl'], ['cat', 'dog', 'owl'], None):
        teacher.classes = names
        hook.before_run(runner)
    teacher.classes = ['owl', 'hound', 'cat']
    with pytest.raises(UserError, match="'owl'"):
        hook.before_run(runner)


@pytest.fixture
def refused(small_runner):
    """Starts a plain classifier on three classes; gives the sentence."""

    def run(edit=lambda config: None, **options):
        options = {**PLAIN, **options}
        runner = small_runner(validate=True, edit=edit, **options)
        with pytest.raises(UserError) as error:
            runner.train()
        assert runner.iter == 0
        return str(error.value)

    return run


def of_timm(config):
    config.model = dict(
        type='mmpretrain.TimmClassifier',
        model_name='test_efficientnet',
        num_classes=7,
    )


@pytest.mark.parametrize(
    'edit, options, words',
    [
        (None, {'model.head.num_classes': 2}, ['head.num_classes', '3', '2']),
        (None, {'model.head.num_classes': 7}, ['head.num_classes', '3', '7']),
        (
            None,
            {'model.head.cal_acc': True, 'model.head.topk': (1, 5)},
            ['model.head', 'topk', '5'],
        ),
        (of_timm, {}, ['model.num_classes', '3', '7']),
    ],
)
def test_plain_classifier_of_other_classes(refused, edit, options, words):
    said = refused(edit or (lambda config: None), **options)
    assert all(word in said for word in words)


def test_labels_of_classes_without_names(refused, tmp_path):
    def edit(config):
        images = sorted((tmp_path / 'data' / 'art').rglob('*.jpg'))
        entries = [
            dict(img_path=str(path), gt_label=4 * i)
            for i, path in enumerate(images[:2])
        ]
        listed = tmp_path / 'list.json'
        listed.write_text(json.dumps(dict(metainfo={}, data_list=entries)))
        old = config.train_dataloader.dataset
        config.train_dataloader = dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=True),
            dataset=dict(
                type='mmpretrain.BaseDataset',
                ann_file=str(listed),
                pipeline=old.get('labelled', old).pipeline,
            ),
        )

    said = refused(edit)
    assert 'model.head.num_classes: ' in said and 'got 4' in said
