"""A run that is slower than its rehearsal, on a clock that the test winds."""

from types import SimpleNamespace

import pytest
import torch

from mmkd_custom.quickstart import distill, keeping
from mmkd_custom.quickstart.keeping import KeepTimeHook, TooSlow
from mmkd_custom.stages import Stage, StageSchedule
from tests.cli import call_tool


def train(monkeypatch, stages, epochs, durations, seconds, anew=True):
    """Ends one epoch after another; returns what was said, and after which.

    Args:
        durations (list[float]): Seconds of each.
    """
    said, clock = [], SimpleNamespace(now=50.0)
    runner = SimpleNamespace(
        model=torch.nn.Module(), max_epochs=epochs, epoch=0
    )
    runner.model.schedule = StageSchedule([Stage(name) for name in stages])
    monkeypatch.setattr(
        keeping, 'time', SimpleNamespace(monotonic=lambda: clock.now)
    )
    hook = KeepTimeHook(
        0.0, seconds, lambda text: said.append((runner.epoch + 1, text))
    )
    hook.anew = anew
    for runner.epoch, duration in enumerate(durations):
        clock.now += duration
        hook.after_train_epoch(runner)
    return said


TWO = ('customization', 'distillation')


def test_a_run_in_time_goes_on(monkeypatch):
    # The teacher is asked in the first epoch; 650 s, of which 10 % is little.
    durations = [100.0, *[10.0] * 49]
    assert not train(monkeypatch, ['distillation'], 50, durations, 600.0)
    assert train(monkeypatch, ['distillation'], 50, durations, 550.0, False)


@pytest.mark.parametrize('stages, at', [(TWO, 20.0), (TWO[1:], 10.0)])
def test_it_stops_while_little_is_lost(monkeypatch, stages, at):
    with pytest.raises(TooSlow) as error:
        train(monkeypatch, stages, 100, [10.0] * 8, 500.0)
    # Of the student's epoch, with the customization.
    assert error.value.seconds == at


def test_later_it_is_said_once(monkeypatch):
    durations = [10.0] * 12 + [100.0] * 8
    ((epoch, text),) = train(monkeypatch, TWO, 40, durations, 500.0)
    # A tenth of the student's epochs are two.
    assert epoch == 14 and '8 min 20 s' in text
    ((epoch, _),) = train(monkeypatch, TWO, 40, [90.0] * 8, 500.0, False)
    assert epoch == 4


def test_a_run_begun_anew_is_a_whole_one(
    domains, tiny_teacher, tmp_path, monkeypatch, capsys
):
    calls = iter(range(10**6))
    monotonic = keeping.time.monotonic
    # An epoch takes 100 s by this clock.
    monkeypatch.setattr(
        keeping,
        'time',
        SimpleNamespace(monotonic=lambda: monotonic() + 100 * next(calls)),
    )
    result = distill(
        domains,
        labelled='art',
        unlabelled='photo',
        teacher=tiny_teacher,
        student_weights='none',
        size=32,
        teacher_size=32,
        batch_size=12,
        workers=0,
        time='10m',
        out=tmp_path / 'out',
    )
    epochs = result.plan.epochs
    assert 1 <= epochs <= 5
    assert 'in place of' in capsys.readouterr().out
    # Nothing of the one that was begun is left in it.
    code = call_tool(
        'train.py', result.config, '--work-dir', tmp_path / 'again'
    )
    assert code == 0
    ours, again = (
        torch.load(path, weights_only=True)['state_dict']
        for path in (result.student, tmp_path / 'again' / 'student.pth')
    )
    assert all(torch.equal(ours[name], again[name]) for name in ours)
    assert f'max_epochs={epochs}' in result.config.read_text()
