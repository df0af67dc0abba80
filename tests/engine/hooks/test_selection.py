"""What a run may be chosen by, against the same worked out by hand."""

import copy
import json
from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.registry import DefaultScope

from mmkd_custom.engine.hooks import SelectionHook
from mmkd_custom.errors import UserError
from mmkd_custom.models import AveragedStudent
from mmkd_custom.models.networks.soft_labels import save_soft_labels
from mmkd_custom.registry import DATASETS
from mmkd_custom.utils.files import load_checkpoint
from tests.runners import PLAIN

#: As many labelled images as unlabelled ones.
IMAGES = 9
AVERAGE = dict(type='EMAHook', momentum=0.5)


def table():
    """Logits (18, 3) of labelled, then unlabelled images."""
    return torch.randn(
        2 * IMAGES, 3, generator=torch.Generator().manual_seed(1)
    )


def selecting(tmp_path, held_out=True, average=False):
    """Has a config measure agreement with a file of labels."""

    def edit(config):
        with DefaultScope.overwrite_default_scope('mmkd_custom'):
            data = DATASETS.build(
                copy.deepcopy(config.train_dataloader)['dataset']
            )
        file = tmp_path / 'labels.safetensors'
        save_soft_labels(file, table(), data.samples_sha256())
        labels = dict(type='SoftLabels', file=str(file))
        config.model = dict(
            type='Distiller',
            student=config.model,
            networks=dict(labels=labels),
            input_size=config.image_size,
            data_preprocessor=config.data_preprocessor,
        )
        more = dict(type='SelectionHook', network='labels', batch_size=4)
        if held_out:
            # What is evaluated on, for want of more images.
            more['held_out'] = config.val_dataloader.dataset
        config.custom_hooks += [more, *([AVERAGE] if average else [])]

    return edit


def results(work_dir):
    return json.loads((work_dir / 'results.json').read_text())


def predicted(runner, weights, infos):
    """Classes of images by the student, loaded by the evaluation's steps."""
    pipeline = runner.val_loop.dataloader.dataset.pipeline
    student = copy.deepcopy(runner.model.student)
    student.load_state_dict(weights)
    data = default_collate([pipeline(copy.deepcopy(i)) for i in infos])
    images = runner.model.data_preprocessor(data)['inputs']
    with torch.no_grad():
        return student.eval()(images, mode='tensor').argmax(1).cpu()


def unlabelled(runner):
    """What the unlabelled stream knows of its images, in order of index."""
    data, infos = runner.train_dataloader.dataset, []
    for index in range(IMAGES, 2 * IMAGES):
        stream, position = data.locate(index)
        assert stream == 'unlabelled'
        infos.append(data.unlabelled.get_data_info(position))
    return infos


def test_agreement_and_held_out_are_those_of_the_student_that_is_left(
    small_runner, tmp_path
):
    edit = selecting(tmp_path, average=True)
    runner = small_runner(validate=True, edit=edit, **PLAIN)
    runner.train()
    weights = load_checkpoint(tmp_path / 'work' / 'student.pth')['state_dict']
    found = results(tmp_path / 'work')['selection']
    same = predicted(runner, weights, unlabelled(runner))
    same = same == table()[IMAGES:].argmax(1)
    last = results(tmp_path / 'work')['last']
    assert found == dict(
        agreement=pytest.approx(100 * same.float().mean().item()),
        **{f'held_out/{name}': value for name, value in last.items()},
    )


def test_held_out_images_that_are_trained_on_are_refused(
    small_runner, tmp_path
):
    runner = small_runner(validate=True, edit=selecting(tmp_path), **PLAIN)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    held_out = runner.train_dataloader.dataset.labelled
    hook = SelectionHook('labels', held_out)
    runner._val_loop = runner.build_val_loop(runner._val_loop)
    with pytest.raises(UserError, match='SelectionHook.held_out'):
        hook.before_train(runner)


def test_without_an_evaluation_images_are_as_in_training(
    small_runner, tmp_path
):
    edit = selecting(tmp_path, held_out=False)
    runner = small_runner(edit=edit, epochs=1, **PLAIN)
    runner.train()
    model, data = runner.model.eval(), runner.train_dataloader.dataset
    batch = default_collate(
        [data[(index, 0)] for index in range(IMAGES, 2 * IMAGES)]
    )
    images = model.data_preprocessor(batch)['inputs']
    with torch.no_grad():
        answers = model(images).argmax(1).cpu()
    same = answers == table()[IMAGES:].argmax(1)
    found = results(tmp_path / 'work')['selection']
    assert found == dict(
        agreement=pytest.approx(100 * same.float().mean().item())
    )


def runner_of(network=None, dataset=None):
    """As much of a runner as is looked at before training."""
    model = torch.nn.Module()
    model.networks = {} if network is None else dict(labels=network)
    loader = SimpleNamespace(dataset=dataset)
    return SimpleNamespace(model=model, train_dataloader=loader, val_loop=None)


@pytest.mark.parametrize(
    'network, held_out, named',
    [
        # It would have to see images.
        (AveragedStudent(), None, 'network: .*AveragedStudent'),
        (SimpleNamespace(view=None, of=(), shapes=['logits']), None, 'unlab'),
        (None, [], 'held_out: .*val_evaluator'),
    ],
)
def test_what_cannot_be_measured_is_named(network, held_out, named):
    # A model that it does not concern.
    SelectionHook('other').before_train(runner_of(network))
    hook = SelectionHook('labels', held_out)
    with pytest.raises(UserError, match=named):
        hook.before_train(runner_of(network))
