"""Windows take turns, and the figures are theirs."""

import os
import signal
from concurrent.futures import Future
from pathlib import Path

import pytest

from mmkd_custom.errors import UserError
from mmkd_custom.measuring import throughput as module
from mmkd_custom.measuring.modes import MODES
from mmkd_custom.measuring.processes import naming_memory, own_process
from mmkd_custom.measuring.throughput import throughput

#: Seconds of a window by mode; the first round warms up.
SECONDS = dict(
    student_only=[9, 2, 4, 2],
    student_channels_last=[9, 1, 3, 2],
    uncached=[9, 4, 10, 5],
    cached=[9, 2, 5, 2.5],
    customize_cached=[9, 0.1, 0.2, 0.05],
)


class FakeProcess:
    """Answers at once, in this process."""

    def __init__(self, asked, stages, teacher_batches):
        self.asked, self.stages = asked, stages
        self.teacher_batches, self.windows = teacher_batches, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.asked.append((self.name, 'end'))

    def submit(self, call, *arguments):
        future = Future()
        future.set_result(getattr(self, call.__name__)(*arguments))
        return future

    def start(self, config):
        self.name, self.config = Path(config.work_dir).name, config
        return dict(stages=self.stages, dataset_images=10, batch_size=8)

    def window(self, stage):
        self.asked.append((self.name, stage))
        if self.name == 'fill':
            folder = Path(self.config.model.teacher.cache_dir)
            folder.mkdir(exist_ok=True)
            (folder / stage).write_bytes(bytes(45))
            return None
        seconds = SECONDS[self.name][self.windows]
        self.windows += 1
        images = 40 if stage == 'customization' else 80
        return dict(seconds=seconds, images=images, data_seconds=seconds / 4)

    def totals(self):
        asked = 7 if self.name == 'uncached' else self.teacher_batches
        return dict(peak_mb=100.0, teacher_batches=asked)


@pytest.fixture
def fake(monkeypatch):
    """Replaces processes; returns what was asked of whom, in order."""
    asked = []

    def set_up(stages=('distillation', 'customization'), teacher_batches=0):
        monkeypatch.setattr(
            module,
            'own_process',
            lambda: FakeProcess(asked, list(stages), teacher_batches),
        )
        return asked

    return set_up


def test_figures_are_those_of_the_windows(config, fake):
    fake()
    found = throughput(config, windows=3, batches=5)
    assert found['student_only'] == dict(
        images_per_second=40, spread=[20, 40], data_share=0.25, peak_mb=100
    )
    assert found['cached']['images_per_second'] == 32
    assert found['cached']['spread'] == [16, 40]
    # Labelled images alone.
    assert found['customize_cached']['images_per_second'] == 400
    # Medians of the ratios in a round: 1, 0.8, 0.8; 0.5, 0.6, 0.8.
    assert found['cached_ratio'] == 0.8
    assert found['cached_ratio_channels_last'] == 0.6
    assert found['uncached_ratio'] == 0.4
    assert found['customize_time_ratio'] == pytest.approx(0.04)
    assert found['ratio_spreads']['cached_ratio'] == [0.8, 1]
    # Two files of 45 bytes for ten images.
    assert found['cache_bytes_per_image'] == 9
    assert (found['batches'], found['windows'], found['workers']) == (5, 3, 2)
    assert (found['views'], found['batch_size']) == (4, 8)
    assert found['config'] == 'customkd_mbv3_domain_folder_128.py'


def test_cache_is_full_before_windows_take_turns(config, fake):
    asked = fake()
    throughput(config, windows=1)
    stages = ['distillation', 'customization']
    assert asked[:3] == [('fill', each) for each in (*stages, 'end')]
    turns = [(name, what) for name, what in asked[3:] if what != 'end']
    assert [name for name, _ in turns] == [*MODES[::-1], *MODES]
    for name, stage in turns:
        assert stage == stages[name == 'customize_cached']


def test_method_without_customization_has_no_such_figures(config, fake):
    asked = fake(stages=['distillation'])
    found = throughput(config, windows=1)
    assert found['customize_cached'] is found['customize_time_ratio'] is None
    assert not [a for a in asked if 'custom' in a[0] + a[1]]


def test_figures_of_a_cache_that_was_not_read_are_refused(config, fake):
    fake(teacher_batches=1)
    with pytest.raises(RuntimeError, match='cached'):
        throughput(config, windows=1)


@pytest.mark.parametrize(
    'option', [dict(windows=0), dict(batches=0), dict(workers=-1)]
)
def test_numbers_out_of_range_are_refused(config, option):
    ((name, value),) = option.items()
    with pytest.raises(UserError, match=f'--{name}: .*{value}'):
        throughput(config, **option)


def test_update_is_not_cut_in_two(config):
    config.optim_wrapper.accumulative_counts = 5
    with pytest.raises(UserError, match='--batches: .*counts=5'):
        throughput(config)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def test_process_without_memory_is_the_users_error():
    with pytest.raises(UserError, match='batch_size'):
        with naming_memory('batch_size'), own_process() as process:
            process.submit(kill).result()
