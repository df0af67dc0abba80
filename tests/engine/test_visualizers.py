"""MMEngine's own backends take a run's scalars: docs/running.md."""

import importlib

import pytest

from mmkd_custom.engine.launch import train

#: Package, and what is found in the work directory; W&B without its server.
BACKENDS = {
    'TensorboardVisBackend': (
        'torch.utils.tensorboard',
        '*/vis_data/events.out.tfevents.*',
    ),
    'MLflowVisBackend': ('mlflow', '*/vis_data/**/loss'),
    'WandbVisBackend': ('wandb', '*/vis_data/wandb/offline-run-*/*.wandb'),
}


@pytest.mark.parametrize('backend', BACKENDS)
def test_scalars_arrive(small_config, tmp_path, monkeypatch, backend):
    module, files = BACKENDS[backend]
    try:
        importlib.import_module(module)
    except ImportError as error:
        pytest.skip(f'no {error.name}')
    monkeypatch.setenv('WANDB_MODE', 'offline')
    # Newer ones want a server or a database.
    monkeypatch.setenv('MLFLOW_ALLOW_FILE_STORE', 'true')
    backends = [dict(type='LocalVisBackend'), dict(type=backend)]

    def edit(config):
        config.visualizer.vis_backends = backends

    train(small_config(edit=edit))
    # Besides the scalars that every run leaves.
    for found in (files, '*/vis_data/scalars.json'):
        (path,) = (tmp_path / 'work').glob(found)
        assert path.stat().st_size > 0
