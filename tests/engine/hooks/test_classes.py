"""Classes are compared wherever two lists of them meet."""

import shutil

import pytest
import torch
from mmengine import load

from mmkd_custom.engine.hooks.classes import ClassesHook, _check_teacher
from mmkd_custom.engine.launch import test as run_test
from mmkd_custom.engine.launch import train
from mmkd_custom.errors import UserError
from tests.helpers import forget_instances


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
    with pytest.raises(
        UserError, match='num_classes: .* 3 of image 1 of the val dataset'
    ):
        check(work_dir='b', **given(3))


def test_fewer_classes_than_the_model_has_are_refused(small_runner, tmp_path):
    small_runner()
    shutil.rmtree(tmp_path / 'data' / 'photo' / 'owl')
    shutil.rmtree(tmp_path / 'data' / 'art' / 'owl')
    runner = small_runner(
        work_dir='b', **{'model.student.head.num_classes': 3}
    )
    with pytest.raises(
        UserError, match='num_classes: .* 2, .*test dataset has, got 3'
    ):
        runner.test()


def config_of(small_runner, **options):
    config = small_runner(**options).cfg
    forget_instances()
    return config


def test_a_checkpoint_of_other_classes_is_refused(small_runner, tmp_path):
    short = {'train_dataloader.sampler.epoch_length': 1}
    small_runner(epochs=2, **short).train()
    student = tmp_path / 'work' / 'student.pth'
    last = tmp_path / 'work' / 'epoch_2.pth'
    for path in (student, last):
        assert run_test(config_of(small_runner, work_dir='test'), path)
        content = torch.load(path, weights_only=False)
        meta = content['meta']
        names = meta.get('dataset_meta', meta)
        names['classes'] = ['cat', 'owl', 'dog']
        torch.save(content, path)
        with pytest.raises(UserError, match=f"{path.name}: class 1 is 'owl'"):
            run_test(config_of(small_runner, work_dir=path.stem), path)
    config = config_of(small_runner, work_dir='resume', epochs=3, **short)
    config.resume, config.load_from = True, str(last)
    with pytest.raises(UserError, match="epoch_2.pth: class 1 is 'owl'"):
        train(config)
    assert not (tmp_path / 'resume' / 'student.pth').exists()
    # What starts from weights may have another task.
    config = config_of(small_runner, work_dir='start', **short)
    config.load_from = str(last)
    train(config)
    assert (tmp_path / 'start' / 'student.pth').exists()


def test_without_labels_there_are_predictions_only(small_runner, tmp_path):
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
    runner = small_runner()
    weights = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=runner.model.state_dict()), weights)
    options = {
        'test_dataloader.dataset': unlabelled,
        'test_dataloader.num_workers': 0,
    }
    with pytest.raises(UserError, match='test dataset has no labels.*--out'):
        run_test(config_of(small_runner, work_dir='a', **options), weights)
    config = config_of(small_runner, work_dir='b', **options)
    assert run_test(config, weights, predictions=tmp_path / 'o.pkl') == {}
    assert len(load(tmp_path / 'o.pkl')) == 9


def test_logits_of_other_classes_are_refused(check):
    runner = check(**{'model.teacher.teacher.num_classes': 3})
    hook, model = ClassesHook(), runner.model
    # That of the cache: it knows what the one inside knows.
    teacher = model.teacher.teacher
    teacher.classes = ('dog', 'cat', 'owl')
    hook.before_run(runner)
    model.teacher_wants = ('feature', 'logits')
    with pytest.raises(UserError, match="class 0 is 'dog'.* 'cat'"):
        hook.before_run(runner)
    teacher.classes = ('cat', 'dog', 'owl')
    hook.before_run(runner)
    # Names for prompts may be others, but in this order.
    teacher.own_words = True
    for names in (['Cat', 'hound', 'barn owl'], ['cat', 'dog', 'owl'], None):
        teacher.classes = names
        hook.before_run(runner)
    teacher.classes = ['owl', 'hound', 'cat']
    with pytest.raises(UserError, match="class 0 is 'owl'"):
        _check_teacher(model, runner.train_dataloader.dataset)
