"""Windows take turns, and the figures are theirs."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmkd_custom.errors import UserError
from mmkd_custom.measuring import processes as throughput_processes
from mmkd_custom.measuring.throughput import throughput

KEYS = {
    'config',
    'student_only',
    'student_channels_last',
    'uncached',
    'cached',
    'customize_cached',
    'cached_ratio',
    'cached_ratio_channels_last',
    'uncached_ratio',
    'customize_time_ratio',
    'cache_bytes_per_image',
    'views',
    'image_size',
    'teacher_input_size',
    'batch_size',
    'batches',
    'windows',
    'workers',
    'device',
    'threads',
    'cpus',
    'versions',
}
#: Seconds of a window by mode; the second round is the slower one.
SECONDS = dict(
    student_only=[9, 2, 4, 2],
    student_channels_last=[9, 1, 3, 2],
    uncached=[9, 4, 10, 5],
    cached=[9, 2, 5, 2.5],
    customize_cached=[9, 0.1, 0.2, 0.05],
)


class FakeProcess:
    """Answers at once, in this process."""

    #: Who was asked what, in order.
    asked = []
    about = dict(
        customizes=True,
        images_sha256='same',
        dataset_images=10,
        batch_size=8,
        image_size=[32, 32],
        teacher_input_size=[28, 28],
        device='cpu',
        threads=2,
    )
    teacher_batches = 0
    other_images = ()

    def __init__(self, name, config, answer):
        self.name, self.config, self.windows = name, config, 0

    def hear(self):
        own = 'other' if self.name in self.other_images else 'same'
        return dict(self.about, images_sha256=own)

    def ask(self, question):
        self.asked.append((self.name, question))
        if question == 'peak':
            return dict(
                peak_mb=100.0 + len(self.name),
                teacher_batches=self.teacher_batches
                if 'cached' in self.name
                else 7,
            )
        if self.name == 'fill':
            folder = Path(self.config.model.teacher.cache_dir)
            folder.mkdir(exist_ok=True)
            (folder / question).write_bytes(bytes(45))
            return {}
        self.windows += 1
        return dict(
            seconds=SECONDS[self.name][self.windows - 1],
            images=40 if question == 'customization' else 80,
        )

    def end(self):
        self.asked.append((self.name, 'end'))

    def wait(self):
        pass


@pytest.fixture
def fake(monkeypatch):
    class Fake(FakeProcess):
        asked = []

    monkeypatch.setattr(throughput_processes, 'Process', Fake)
    return Fake


@pytest.fixture
def config():
    return Config(
        dict(
            model=dict(student=dict(type='S'), teacher=dict(type='T')),
            optim_wrapper=dict(optimizer=dict(type='SGD')),
            train_dataloader=dict(
                num_workers=2, sampler=dict(num_views=4), dataset=dict()
            ),
        )
    )


def test_figures_are_those_of_the_windows(config, fake):
    found = throughput(config, windows=3, batches=5)
    assert set(found) == KEYS
    assert found['student_only'] == dict(
        images_per_second=40, spread=[20, 40], peak_mb=112.0
    )
    assert found['cached']['images_per_second'] == 32
    assert found['cached']['spread'] == [16, 40]
    # Labelled images alone.
    assert found['customize_cached']['images_per_second'] == 400
    # Medians of the ratios in a round: 1, 0.8, 0.8.
    assert found['cached_ratio'] == 0.8
    # And 0.5, 0.6, 0.8.
    assert found['cached_ratio_channels_last'] == 0.6
    assert found['uncached_ratio'] == 0.4
    assert found['customize_time_ratio'] == pytest.approx(0.04)
    # Two files of 45 bytes for ten images.
    assert found['cache_bytes_per_image'] == 9
    assert (found['batches'], found['windows'], found['workers']) == (5, 3, 2)
    assert (found['views'], found['batch_size']) == (4, 8)


def test_the_cache_is_full_before_windows_take_turns(config, fake):
    throughput(config, windows=1)
    assert fake.asked[:3] == [
        ('fill', 'distillation'),
        ('fill', 'customization'),
        ('fill', 'end'),
    ]
    windows = [name for name, what in fake.asked[3:] if 'tion' in what]
    order = [
        'student_only',
        'student_channels_last',
        'uncached',
        'cached',
        'customize_cached',
    ]
    assert windows == [*order[::-1], *order]
    assert {what for name, what in fake.asked if name == 'cached'} == {
        'distillation',
        'peak',
        'end',
    }


def test_a_method_without_customization_has_no_such_figures(config, fake):
    fake.about = dict(fake.about, customizes=False)
    found = throughput(config, windows=1)
    assert set(found) == KEYS
    assert found['customize_cached'] is None
    assert found['customize_time_ratio'] is None
    assert not [a for a in fake.asked if 'custom' in a[0] + a[1]]


def test_figures_that_would_mean_nothing_are_not_given(config, fake):
    fake.teacher_batches = 1
    with pytest.raises(RuntimeError, match='cached: the teacher was run on 1'):
        throughput(config, windows=1)
    fake.teacher_batches = 0
    fake.other_images = ('student_only',)
    with pytest.raises(UserError, match='draws other images'):
        throughput(config, windows=1)


@pytest.mark.parametrize(
    'option', [dict(windows=0), dict(batches=0), dict(workers=-1)]
)
def test_numbers_out_of_range_are_refused(config, option):
    name, value = next(iter(option.items()))
    with pytest.raises(UserError, match=f'--{name} {value}: a whole number'):
        throughput(config, **option)


def test_an_update_is_not_cut_in_two(config):
    config.optim_wrapper.accumulative_counts = 5
    with pytest.raises(UserError, match='--batches 12: a multiple of .*=5'):
        throughput(config)
