"""What a run leaves behind: results.json and student.pth."""

import copy
import json

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.registry import METRICS

from mmkd_custom.errors import UserError
from mmkd_custom.export import export_student
from mmkd_custom.utils.files import load_checkpoint
from mmkd_custom.utils.runs import RUN_KEY, run_of
from tests.runners import PLAIN, Average

SCRIPT = [40.0, 70.0, 60.0, 55.0]
SHORT = {'train_dataloader.sampler.epoch_length': 1}


@METRICS.register_module(force=True)
class ScriptedMetric(BaseMetric):
    """Says what :data:`SCRIPT` says, one value an evaluation."""

    def __init__(self):
        super().__init__()
        self.said = 0

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        self.said += 1
        return dict(up=SCRIPT[self.said - 1], down=-SCRIPT[self.said - 1])


def scripted(config):
    config.val_evaluator = [dict(type='ScriptedMetric')]
    config.train_cfg.val_interval = 1


def results(work_dir):
    return json.loads((work_dir / 'results.json').read_text())


def student(work_dir):
    content = torch.load(work_dir / 'student.pth', weights_only=True)
    return content['state_dict']


def test_last_oracle_and_history(small_runner, tmp_path):
    small_runner(
        epochs=4,
        validate=True,
        seed=3,
        edit=scripted,
        **SHORT,
    ).train()
    found = results(tmp_path / 'work')
    assert found['last'] == dict(up=55.0, down=-55.0)
    assert found['oracle'] == dict(epoch=2, up=70.0, down=-70.0)
    assert found['history'] == [
        dict(epoch=number, up=value, down=-value)
        for number, value in enumerate(SCRIPT, 1)
    ]
    assert found['epochs'] == 4
    assert found['seed'] == 3
    assert found['task'] == 'art->photo'
    assert found['config'] == 'customkd_mbv3_domain_folder.py'
    assert found['wall_seconds'] > 0


def test_the_last_metrics_are_those_of_the_student_that_is_left(
    small_runner, tmp_path
):
    runner = small_runner(validate=True, **SHORT)
    runner.train()
    classifier = copy.deepcopy(runner.model.student)
    for tensor in classifier.state_dict().values():
        tensor.zero_()
    classifier.load_state_dict(student(tmp_path / 'work'))
    classifier.eval()
    right = constant = total = 0
    # As many labelled images of each class: the first is answered.
    answer = 0
    mean = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1)
    for batch in runner.val_dataloader:
        inputs = torch.stack(list(batch['inputs'])).flip(1).float()
        with torch.no_grad():
            guesses = classifier((inputs - mean) / std).argmax(1)
        labels = torch.cat([s.gt_label for s in batch['data_samples']])
        right += (guesses == labels).sum().item()
        constant += (labels == answer).sum().item()
        total += len(labels)
    assert total == 9
    found = results(tmp_path / 'work')
    top1 = found['last']['accuracy/top1']
    assert top1 == pytest.approx(100 * right / total, abs=1e-3)
    classes = runner.train_dataloader.dataset.CLASSES
    assert found['constant']['class'] == classes[answer]
    assert found['constant']['accuracy/top1'] == pytest.approx(
        100 * constant / total, abs=1e-3
    )


def test_runner_refuses_a_used_folder(small_runner, tmp_path):
    # However it was started.
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work' / 'student.pth').write_text('old')
    with pytest.raises(UserError, match='student.pth'):
        small_runner(**PLAIN).train()
    assert (tmp_path / 'work' / 'student.pth').read_text() == 'old'


def test_checkpoints_tell_their_run(small_runner, tmp_path):
    small_runner(seed=3, **PLAIN).train()
    found = results(tmp_path / 'work')
    for epoch in (1, 2):
        path = tmp_path / 'work' / f'epoch_{epoch}.pth'
        run = run_of(load_checkpoint(path))
        assert run == {key: found[key] for key in run}
        assert run['seed'] == 3 and run['task'] == 'art->photo'
        assert run['max_epochs'] == 2 and run['epoch_iters'] == 1
        assert len(run['split_sha256']) == len(run['config_sha256']) == 64
        assert run['settings']['train_dataloader.batch_size'] == 2
        assert run['options']['train_cfg.max_epochs'] == 2

    # A run without a seed of its own goes on with the checkpoint's, and says
    # so.
    def no_seed(config):
        config.randomness.seed = None

    small_runner(
        seed=3, epochs=3, resume='work/epoch_2.pth', edit=no_seed, **PLAIN
    ).train()
    assert results(tmp_path / 'work')['seed'] == 3
    path = tmp_path / 'work' / 'epoch_3.pth'
    assert run_of(load_checkpoint(path))['seed'] == 3


def test_a_runner_that_only_tests_is_no_run(small_runner):
    runner = small_runner()
    runner.call_hook('before_run')
    assert RUN_KEY not in runner.message_hub.runtime_info
    # The training data was not built for it.
    assert isinstance(runner._train_loop, dict)


def averaged(config):
    config.custom_hooks.append(dict(type='EMAHook', momentum=Average.momentum))


@pytest.mark.slow
def test_student_holds_the_averaged_weights(small_runner, tmp_path):
    runner = small_runner(edit=averaged, validate=True)
    average = Average()
    runner.register_hook(average)
    runner.train()
    found = student(tmp_path / 'work')
    raw = dict(runner.model.student.named_parameters())
    for name, value in average.value.items():
        torch.testing.assert_close(
            found[name].double(), value, rtol=1e-4, atol=1e-5
        )
    same = [name for name in raw if torch.equal(found[name], raw[name])]
    assert not same
    # The export of the checkpoint of the same epoch is the same.
    exported = export_student(tmp_path / 'work', tmp_path / 'exported.pth')
    ours, theirs = (
        load_checkpoint(path)
        for path in (tmp_path / 'work' / 'student.pth', exported)
    )
    assert ours['meta'] == theirs['meta']
    assert ours['meta']['dataset_meta'] == dict(classes=['cat', 'dog', 'owl'])
    assert {'epoch', 'iter', 'seed', 'mmengine_version'} < set(ours['meta'])
    assert list(ours['state_dict']) == list(theirs['state_dict'])
    for key, value in ours['state_dict'].items():
        assert torch.equal(value, theirs['state_dict'][key])


def test_a_lost_evaluation_is_made_up_for(small_runner, tmp_path):
    options = {'epochs': 4, 'validate': True, **PLAIN}
    options['train_cfg.val_interval'] = 2
    small_runner('whole', **options).train()
    whole = results(tmp_path / 'whole')
    assert [entry['epoch'] for entry in whole['history']] == [2, 4]
    # A checkpoint of epoch 2 or 4 is written before their evaluation; that of
    # epoch 3 has the one of epoch 2 and owes none.
    for epoch in (2, 3, 4):
        name = f'resumed_{epoch}'
        checkpoint = f'whole/epoch_{epoch}.pth'
        small_runner(name, resume=checkpoint, **options).train()
        resumed = results(tmp_path / name)
        for key in ('history', 'last', 'oracle', 'epochs'):
            assert resumed[key] == whole[key], (epoch, key)


class Kill(Hook):
    """Ends the run between a checkpoint and its evaluation."""

    def before_val(self, runner):
        raise KeyboardInterrupt


def test_an_evaluation_made_up_for_counts_for_save_best(
    small_runner, tmp_path
):
    options = {
        'validate': True,
        'edit': scripted,
        **PLAIN,
        'default_hooks.checkpoint.save_best': 'down',
        'default_hooks.checkpoint.rule': 'greater',
    }
    runner = small_runner(**options)
    runner.register_hook(Kill())
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    work_dir = tmp_path / 'work'
    assert [path.name for path in work_dir.glob('*.pth')] == ['epoch_1.pth']
    weights = torch.load(work_dir / 'epoch_1.pth', weights_only=True)
    small_runner(resume='work/epoch_1.pth', **options).train()
    # -40 after epoch 1, -70 after epoch 2: the one that was lost is the best.
    history = results(work_dir)['history']
    assert [(e['epoch'], e['down']) for e in history] == [(1, -40), (2, -70)]
    (best,) = work_dir.glob('best_*')
    assert best.name == 'best_down_epoch_1.pth'
    best = torch.load(best, weights_only=True)['state_dict']
    assert best.keys() == weights['state_dict'].keys()
    for key, value in weights['state_dict'].items():
        assert torch.equal(best[key], value), key
