"""Every shipped config is built and stepped in each of its stages."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.stages import StageSchedule
from tests.cli import REPOSITORY, run_tool
from tests.helpers import make_domains

CONFIGS = sorted(
    path.relative_to(REPOSITORY / 'configs').as_posix()
    for path in (REPOSITORY / 'configs').rglob('*.py')
    if '_base_' not in path.parts
)
# The archive's own class folders.
OFFICEHOME = (
    'Alarm_Clock Backpack Batteries Bed Bike Bottle Bucket Calculator '
    'Calendar Candles Chair Clipboards Computer Couch Curtains Desk_Lamp '
    'Drill Eraser Exit_Sign Fan File_Cabinet Flipflops Flowers Folder Fork '
    'Glasses Hammer Helmet Kettle Keyboard Knives Lamp_Shade Laptop Marker '
    'Monitor Mop Mouse Mug Notebook Oven Pan Paper_Clip Pen Pencil '
    'Postit_Notes Printer Push_Pin Radio Refrigerator Ruler Scissors '
    'Screwdriver Shelf Sink Sneakers Soda Speaker Spoon TV Table Telephone '
    'ToothBrush Toys Trash_Can Webcam'
).split()


def small(name: str) -> dict:
    """What makes a config small and offline; its structure stays."""
    alone = 'source_only' in name
    options = {
        'train_dataloader.batch_size': 4 if alone else 8,
        'train_dataloader.num_workers': 0,
        'train_dataloader.sampler.labelled': 4,
        'train_dataloader.sampler.unlabelled': 4,
        'train_dataloader.sampler.epoch_length': 2,
        'val_dataloader.num_workers': 0,
    }
    if not alone:
        options.update(
            {
                'model.teacher.model_name': 'test_vit',
                'model.teacher.pretrained': False,
                'model.teacher.checkpoint': None,
                'model.teacher.input_size': 160,
            }
        )
    if 'officehome' in name:
        path = 'model' if alone else 'model.student'
        options[f'{path}.backbone.init_cfg'] = None
    return options


@pytest.fixture
def data_root(tmp_path, monkeypatch) -> Path:
    root = make_domains(tmp_path / 'data', classes=('a', 'b'), per_class=3)
    for name, value in dict(
        DATA_ROOT=str(root), SOURCE='art', TARGET='photo', SEED='0'
    ).items():
        monkeypatch.setenv(name, value)
    return root


def test_there_are_configs():
    assert 'customkd_mbv3_officehome.py' in CONFIGS
    assert len(CONFIGS) >= 12


@pytest.mark.parametrize('name', CONFIGS)
def test_config_builds_and_steps(name, data_root, tmp_path):
    path = REPOSITORY / 'configs' / name
    config = load_config(path, small(name))
    prepare(config, config_path=path, work_dir=str(tmp_path / 'work'))
    runner = Runner.from_cfg(config)
    model = runner.model
    runner._init_model_weights()
    wrapper = runner.build_optim_wrapper(config.optim_wrapper)
    loader = runner.build_dataloader(config.train_dataloader, seed=0)
    schedule = getattr(model, 'schedule', None)
    epochs = schedule.period if isinstance(schedule, StageSchedule) else 1
    seen = []
    for epoch in range(epochs):
        sampler = loader.batch_sampler.sampler
        if schedule is not None:
            sampler.set_schedule(schedule)
            model.set_stage(schedule(epoch).name)
            wrapper.set_stage(schedule(epoch).name)
            seen.append(schedule(epoch).name)
        sampler.set_epoch(epoch)
        model.train()
        batches = list(loader)
        assert len(batches) == 2
        for batch in batches:
            logs = model.train_step(batch, wrapper)
            assert torch.isfinite(logs['loss'])
    if 'customkd' in name:
        assert seen == ['customization', 'distillation']
    DefaultScope._instance_dict.clear()


@pytest.mark.slow
@pytest.mark.parametrize('folder', ['Real World', 'Real_World'])
def test_flagship_runs_on_the_layout_of_officehome(tmp_path, folder):
    assert len(OFFICEHOME) == 65
    root = make_domains(
        tmp_path / 'data', ('Art', folder), OFFICEHOME, per_class=1
    )
    result = run_tool(
        'train.py',
        REPOSITORY / 'configs' / 'customkd_mbv3_officehome.py',
        '--work-dir',
        tmp_path / 'work',
        '--cfg-options',
        'train_cfg.max_epochs=2',
        'model.teacher.pretrained=False',
        'model.student.backbone.init_cfg=None',
        'train_dataloader.batch_size=4',
        'train_dataloader.num_workers=0',
        'train_dataloader.sampler.labelled=2',
        'train_dataloader.sampler.unlabelled=2',
        'train_dataloader.sampler.epoch_length=1',
        'val_dataloader.num_workers=0',
        DATA_ROOT=str(root),
        SOURCE='Art',
        TARGET='Real_World',
        SEED='0',
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'work' / 'student.pth').is_file()
    assert (tmp_path / 'work' / 'results.json').is_file()


@pytest.mark.slow
def test_weights_that_cannot_be_downloaded_are_one_sentence(tmp_path):
    root = make_domains(
        tmp_path / 'data', ('Art', 'Clipart'), OFFICEHOME[:3], per_class=1
    )
    for options, words in (
        (['model.teacher.pretrained=False'], 'mobilenet_v3_large-3ea3c186'),
        ([], 'vit_base_patch14_dinov2'),
    ):
        result = run_tool(
            'train.py',
            REPOSITORY / 'configs' / 'customkd_mbv3_officehome.py',
            '--work-dir',
            tmp_path / 'work',
            '--cfg-options',
            'val_dataloader.num_workers=0',
            *options,
            DATA_ROOT=str(root),
            SOURCE='Art',
            TARGET='Clipart',
            SEED='0',
            HF_HUB_OFFLINE='1',
            TORCH_HOME=str(tmp_path / 'hub'),
            # No proxy answers there: a download fails at once.
            https_proxy='http://127.0.0.1:9',
            HTTPS_PROXY='http://127.0.0.1:9',
        )
        assert result.returncode == 2, result.stderr
        last = result.stderr.strip().splitlines()[-1]
        assert last.startswith('error: ') and words in last, last
        assert not (tmp_path / 'work').exists()
