"""Two whole runs are those of the config, epoch by epoch in turns."""

import pytest

from mmkd_custom.cache import CachedTeacher
from mmkd_custom.errors import UserError
from mmkd_custom.measuring import whole_runs as module
from mmkd_custom.measuring.whole_runs import answer, whole_runs
from tests.helpers import forget_instances
from tests.measuring.throughput_stand_ins import Script

#: Seconds of each epoch, and what each student says of five images.
SECONDS = dict(cached=[4.0, 1.0], uncached=[8.0, 10.0])
SAID = dict(cached=[0, 1, 2, 3, 4], uncached=[0, 1, 2, 3, 0])


class FakeProcess:
    """Answers at once, in this process."""

    asked = []
    configs = {}

    def __init__(self, name, config):
        self.name, self.epoch = name, 0
        self.configs[name] = config
        self.about = dict(start_seconds=1.0, device='cpu', threads=2)

    def ask(self, question):
        self.asked.append((self.name, question))
        if question == 'predictions':
            return SAID[self.name]
        if question == 'peak':
            return dict(peak_mb=5.0)
        self.epoch += 1
        return SECONDS[self.name][self.epoch - 1]


@pytest.fixture
def fake(monkeypatch):
    import contextlib

    class Fake(FakeProcess):
        asked, configs = [], {}

    @contextlib.contextmanager
    def processes(configs, answer):
        yield {name: Fake(name, each) for name, each in configs.items()}

    monkeypatch.setattr(module, 'processes', processes)
    return Fake


def test_figures_are_those_of_the_runs(small_runner, fake):
    config = small_runner().cfg
    found = whole_runs(config, 2)
    assert found['cached'] == dict(
        seconds=6.0, start_seconds=1.0, epoch_seconds=[4.0, 1.0], peak_mb=5.0
    )
    assert found['uncached']['seconds'] == 19.0
    assert found['whole_run_ratio'] == pytest.approx(6 / 19)
    assert found['top1_agreement'] == 80.0
    assert (found['epochs'], found['views']) == (2, 4)
    turns = [name for name, what in fake.asked if what == 'epoch']
    assert turns == ['uncached', 'cached', 'cached', 'uncached']


def test_the_runs_are_those_of_the_config(small_runner, fake):
    config = small_runner().cfg
    before = config.to_dict()
    whole_runs(config, 2)
    assert config.to_dict() == before
    cached, uncached = (
        fake.configs[name].to_dict() for name in ('cached', 'uncached')
    )
    teacher = cached['model'].pop('teacher')
    assert teacher['type'] == 'CachedTeacher'
    assert teacher['teacher'] == uncached['model'].pop('teacher')
    assert cached.pop('work_dir') != uncached.pop('work_dir')
    assert cached == uncached
    assert cached['train_cfg']['max_epochs'] == 2
    for part in ('default_hooks', 'custom_hooks', 'val_dataloader'):
        assert cached[part] == before[part]


def test_predictions_cannot_be_compared(small_runner, fake, monkeypatch):
    config = small_runner().cfg
    monkeypatch.setitem(SAID, 'uncached', None)
    assert whole_runs(config, 1)['top1_agreement'] is None
    monkeypatch.setitem(SAID, 'uncached', [0])
    with pytest.raises(UserError, match='another number of images'):
        whole_runs(config, 1)
    with pytest.raises(UserError, match='--whole-run 0: a whole number'):
        whole_runs(config, 0)


@pytest.mark.slow
def test_epoch_by_epoch_is_the_run_at_once(small_runner):
    def edit(config):
        config.train_cfg = dict(type='TurnLoop', max_epochs=4, val_interval=2)

    at_once = small_runner('a', validate=True, epochs=4)
    at_once.train_loop  # Built, so that nothing differs but the turns.
    at_once.train()
    forget_instances()
    runner = small_runner('b', validate=True, edit=edit)
    script = Script(*['epoch'] * 4, 'predictions', 'peak')
    evaluated = []
    runner.train_loop.drive = lambda loop: answer(script, loop)
    run = runner.val_loop.run
    runner.val_loop.run = lambda: evaluated.append(runner.epoch) or run()
    with pytest.raises(EOFError):
        runner.train()
    assert evaluated == [2, 4]
    about, *epochs, said, peak = [reply for _, reply in script.replies]
    assert about['start_seconds'] > 0 and len(epochs) == 4
    assert min(epochs) > 0 and peak['peak_mb'] > 100
    assert isinstance(runner.model.teacher, CachedTeacher)
    assert len(said) == 9 and set(said) <= {0, 1, 2}
    ours, theirs = runner.model.state_dict(), at_once.model.state_dict()
    assert all(ours[name].equal(theirs[name]) for name in theirs)
