"""Base files whose teacher sees more pixels than the student."""

import pytest

from mmkd_custom.datasets import SampleKey
from mmkd_custom.engine.config import load_config, prepare, read_config
from mmkd_custom.engine.config_data import training_data
from mmkd_custom.engine.launch import train
from tests.cli import REPOSITORY
from tests.helpers import make_domains

BASE = REPOSITORY / 'configs' / '_base_'
TASKS = sorted(path.stem for path in (BASE / 'tasks').glob('*_clean192_*.py'))
CROPS = ('domain_folder_96_teacher192', 'elpv_96_teacher192')


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Makes CustomKD of a task, on little data and with a tiny teacher."""
    root = make_domains(tmp_path / 'data', per_class=3)
    monkeypatch.setenv('DATA_ROOT', str(root))

    def make(task):
        cells = 'elpv_domains' in task
        for key, value in dict(
            SOURCE='mono' if cells else 'art',
            TARGET='poly' if cells else 'photo',
        ).items():
            monkeypatch.setenv(key, value)
        path = tmp_path / f'{task}.py'
        bases = [
            str(BASE / 'tasks' / f'{task}.py'),
            str(BASE / 'schedules' / 'adamw_short_alternating.py'),
        ]
        path.write_text(f"_base_ = {bases}\nmodel = dict(type='CustomKD')\n")
        options = {
            'model.teacher.teacher.model_name': 'test_efficientnet',
            'model.teacher.teacher.checkpoint': None,
            'train_dataloader.batch_size': 4,
            'train_dataloader.num_workers': 0,
            'train_dataloader.sampler.labelled': 2,
            'train_dataloader.sampler.unlabelled': 2,
            'train_dataloader.sampler.epoch_length': 1,
            'val_dataloader.num_workers': 0,
            'val_dataloader.dataset.indices': 4,
            'train_cfg.max_epochs': 2,
        }
        if 'elpv' in task:
            options['train_dataloader.dataset.unlabelled.indices'] = 8
        return load_config(path, options)

    return make


@pytest.mark.parametrize('task', TASKS)
def test_what_student_and_teacher_see(config, task):
    made = config(task)
    assert made.model.teacher.type == 'CachedTeacher'
    dataset = training_data(made)
    first, other = (dataset[SampleKey(0, view)] for view in (0, 1))
    assert first['inputs'].shape == (3, 96, 96)
    teachers = first['views']['teacher'], other['views']['teacher']
    assert teachers[0].shape == (3, 192, 192)
    assert not (first['inputs'] == other['inputs']).all()
    assert (teachers[0] == teachers[1]).all()
    assert made.train_dataloader.sampler.num_views is None


@pytest.mark.parametrize('data', CROPS)
def test_the_students_crop_at_another_size(config, data):
    config(TASKS[0])
    made = read_config(BASE / 'datasets' / f'{data}.py')
    assert made.train_dataloader.sampler.num_views == 4
    # That it is the same crop is checked when it is built.
    item = training_data(made)[SampleKey(0, 1)]
    assert item['inputs'].shape == (3, 96, 96)
    assert item['views']['teacher'].shape == (3, 192, 192)


@pytest.mark.slow
def test_the_task_that_no_shipped_config_has_by_default_trains(
    config, tmp_path
):
    task, work_dir = 'elpv_domains_clean192_mbv3', tmp_path / 'work'
    train(prepare(config(task), config_path=task, work_dir=str(work_dir)))
    assert (work_dir / 'results.json').is_file()
    assert (work_dir / 'teacher_cache' / 'manifest.json').is_file()
