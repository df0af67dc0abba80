import math

import numpy as np
import pytest

from mmkd_custom.errors import UserError
from mmkd_custom.quickstart.clock import Clock, fit_time, make_clock
from mmkd_custom.quickstart.data import Data
from mmkd_custom.quickstart.plan import Machine, Options, make_plan
from mmkd_custom.quickstart.recipe import LOOKS, run_config
from mmkd_custom.quickstart.rehearsal import Pace
from mmkd_custom.quickstart.students import Student
from mmkd_custom.quickstart.teachers import Teacher

CPU, GPU = Machine(2), Machine(16, 'a GPU', 80.0)


def data_of(labelled, unlabelled, size=227, test=100):
    counts = dict(labelled=labelled, unlabelled=unlabelled, test=test)
    return Data(
        specs={},
        classes=('a', 'b'),
        paths={name: ('x',) * count for name, count in counts.items()},
        labels={'labelled': np.zeros(labelled)},
        size=size,
    )


def plan_of(data, machine=CPU, pretrained=False, sizes=(192, 256), **options):
    student = Student('s', {}, {}, pretrained, '')
    teacher = Teacher('t', 't', '', sizes)
    return make_plan(data, machine, student, teacher, Options(**options))


def test_two_cores_and_the_benchmarks_data():
    plan = plan_of(data_of(2048, 1670))
    assert (plan.size, plan.teacher_size) == (96, 192)
    assert (plan.labelled, plan.unlabelled) == (64, 64)
    # 1000 steps of 32 an epoch.
    assert (plan.steps, plan.epochs) == (32, 32)
    assert (plan.lr, plan.workers) == (3e-3, 2)


def test_few_images_make_small_batches_and_many_epochs():
    plan = plan_of(data_of(40, 40, size=50))
    assert (plan.size, plan.labelled, plan.unlabelled) == (32, 32, 32)
    assert (plan.steps, plan.epochs) == (2, 300)
    # The root of a half.
    assert plan.lr == pytest.approx(3e-3 / 2**0.5, rel=1e-2)
    assert plan_of(data_of(5, 5, size=20)).size == 32


def test_a_gpu_and_many_images():
    plan = plan_of(data_of(1000, 100_000), GPU, pretrained=True)
    assert (plan.size, plan.teacher_size, plan.workers) == (224, 256, 8)
    assert (plan.labelled, plan.unlabelled) == (128, 128)
    assert plan.epochs == 20
    assert plan.lr == pytest.approx(5e-4 * 2**0.5, rel=1e-2)


def test_a_student_with_weights_sees_more():
    assert plan_of(data_of(100, 100), pretrained=True).size == 128
    assert plan_of(data_of(100, 100), Machine(1)).workers == 0


def test_each_can_be_set_and_each_has_a_reason():
    given = dict(
        size=64, teacher_size=96, batch_size=10, epochs=3, lr=0.1, workers=0
    )
    plan = plan_of(data_of(100, 100), **given)
    assert (plan.labelled, plan.unlabelled, plan.steps) == (5, 5, 20)
    for name in ('size', 'teacher_size', 'epochs', 'lr', 'workers'):
        assert getattr(plan, name) == given[name]
    assert {why for _, _, why in plan.rows()} == {'as asked for'}
    assert all(why for _, _, why in plan_of(data_of(100, 100)).rows())


@pytest.mark.parametrize(
    'options',
    [dict(size=8), dict(batch_size=2), dict(epochs=0), dict(lr=0.0)],
)
def test_options_out_of_range(options):
    with pytest.raises(UserError, match=next(iter(options))):
        Options(**options)


def test_time_is_that_of_the_parts():
    data = data_of(2048, 1670, test=256)
    clock = make_clock(data, plan_of(data), Pace(0.5, 0.1), 0.01)
    assert clock.teacher == pytest.approx(37.18)
    assert clock.epoch == pytest.approx(32 * 0.6)
    # Two batches, five times, without the backward pass.
    assert clock.looks == pytest.approx(5 * 2 * 0.25)
    assert clock.total(2) == pytest.approx(37.18 + 2.5 + 2 * 19.2)


@pytest.mark.parametrize('epochs', [*range(1, 12), 14, 99])
def test_no_more_evaluations_than_time_is_counted_for(epochs):
    data = data_of(100, 100)
    data.specs = dict.fromkeys(('labelled', 'unlabelled', 'test'), {})
    config = run_config(
        data,
        Student('s', {}, {}, False, ''),
        Teacher('t', 't', ''),
        plan_of(data, epochs=epochs),
        'propagated',
        0,
        'task',
    )
    interval = config['train_cfg']['val_interval']
    assert 1 <= math.ceil(epochs / interval) <= LOOKS
    assert config['default_hooks']['checkpoint']['interval'] == interval


def test_epochs_are_fitted_into_a_time():
    plan, clock = plan_of(data_of(2048, 1670)), Clock(40.0, 10.0, 10.0)
    assert fit_time(plan, clock, None, 5.0) is plan
    # 0.95 * 200 - 30 - 50 = 110 s.
    fitted = fit_time(plan, clock, 200.0, 30.0)
    assert (fitted.epochs, plan.epochs) == (11, 32)
    assert fitted.why['epochs'] != plan.why['epochs']
    assert fit_time(plan, clock, 1e6, 0.0).epochs == 96
    with pytest.raises(UserError, match='time: .*95s'):
        fit_time(plan, clock, 80.0, 30.0)
    assert fit_time(plan, clock, 95.0, 30.0).epochs == 1
