"""tools/probe_teacher.py on a small tree of real images, as a user runs it."""

import json
import shutil

import numpy as np
import pytest
import torch

from mmkd_custom.models.teachers.timm.teacher import TimmTeacher
from mmkd_custom.models.teachers.wrappers.probed import Probe
from tests.cli import REPOSITORY, TINY, run_tool
from tests.helpers import make_domains

CONFIG = REPOSITORY / 'configs/soft_target/soft_target_mbv3_domain_folder.py'
DOMAINS = dict(SOURCE='art', TARGET='photo', SEED='1')


@pytest.mark.slow
def test_a_teacher_is_probed_and_then_teaches(tmp_path):
    root = make_domains(tmp_path / 'data')
    hidden = tmp_path / 'photo'
    shutil.move(root / 'photo', hidden)
    weights = tmp_path / 'teacher.pth'
    torch.save(TimmTeacher('test_efficientnet').model.state_dict(), weights)
    # From here, where the run starts too.
    out = 'probe.safetensors'
    # The target's images are not there: nothing of it can be read.
    done = run_tool(
        'probe_teacher.py',
        CONFIG,
        '--normalization',
        'l2',
        '--holdout',
        0.3,
        '--out',
        out,
        '--cfg-options',
        'model.teacher.teacher.model_name=test_efficientnet',
        'model.teacher.teacher.checkpoint=teacher.pth',
        cwd=tmp_path,
        DATA_ROOT=str(root),
        **DOMAINS,
    )
    assert done.returncode == 0, done.stderr
    assert 'Probe of test_efficientnet (pooled, l2), 3 classes' in done.stdout
    assert done.stdout.count(' <- chosen') == 1
    assert '\x1b[' not in done.stdout + done.stderr
    stored = Probe.load(tmp_path / out)
    assert stored.seed == 1 and stored.classes == ['cat', 'dog', 'owl']
    assert np.isfinite(stored.accuracy)
    # The printed line, as a user puts it into a config.
    line = done.stdout.strip().splitlines()[-1]
    config = tmp_path / 'probed.py'
    config.write_text(f'_base_ = [{str(CONFIG)!r}]\n{line}\n')
    shutil.move(hidden, root / 'photo')
    work_dir = tmp_path / 'work'
    trained = run_tool(
        'train.py',
        config,
        '--work-dir',
        work_dir,
        '--cfg-options',
        'model.terms.probe=None',
        'model.networks.probe=None',
        'model.terms.kd.on=logits',
        'train_cfg.max_epochs=1',
        'train_dataloader.sampler.epoch_length=2',
        *TINY[2:],
        cwd=tmp_path,
        DATA_ROOT=str(root),
        **DOMAINS,
    )
    assert trained.returncode == 0, trained.stderr
    results = json.loads((work_dir / 'results.json').read_text())
    # Probe and run say which labelled images they are of.
    assert results['split_sha256'] == stored.split_sha256
    log = next(work_dir.glob('*/*.log')).read_text()
    assert 'loss_kd' in log and 'test_efficientnet (probed)' in log
    checkpoint = torch.load(work_dir / 'epoch_1.pth', weights_only=True)
    assert not [k for k in checkpoint['state_dict'] if 'probe' in k]


def test_wrong_input_is_one_sentence(tmp_path):
    done = run_tool('probe_teacher.py', tmp_path / 'nothing.py')
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith('error: config')
    assert 'Traceback' not in done.stderr
