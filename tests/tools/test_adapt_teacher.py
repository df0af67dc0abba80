"""tools/adapt_teacher.py on a small tree of real images, as a user runs it."""

import json
import shutil
from importlib.util import find_spec

import pytest
import torch

from mmkd_custom.models.teachers.timm.teacher import TimmTeacher
from mmkd_custom.models.teachers.wrappers.adapted import Adaptation
from tests.cli import REPOSITORY, run_tool
from tests.helpers import make_domains

CONFIG = REPOSITORY / 'configs/soft_target/soft_target_mbv3_domain_folder.py'
DOMAINS = dict(SOURCE='art', TARGET='photo', SEED='1')


@pytest.mark.slow
def test_a_teacher_is_adapted_and_then_teaches(tmp_path):
    # The other mode is tested without a process of its own.
    mode = 'lora' if find_spec('peft') else 'norm'
    root = make_domains(tmp_path / 'data')
    hidden = tmp_path / 'photo'
    shutil.move(root / 'photo', hidden)
    weights = tmp_path / 'vit.pth'
    torch.save(TimmTeacher('test_vit').model.state_dict(), weights)
    out = tmp_path / 'adapted.safetensors'
    teacher = [
        'model_name=test_vit',
        f'checkpoint={weights}',
        'input_size=32',
    ]
    # The target's images are not there: nothing of it can be read.
    done = run_tool(
        'adapt_teacher.py',
        CONFIG,
        '--mode',
        mode,
        '--epochs',
        2,
        '--rank',
        2,
        '--out',
        out,
        '--cfg-options',
        *(f'model.teacher.teacher.{option}' for option in teacher),
        DATA_ROOT=str(root),
        **DOMAINS,
    )
    assert done.returncode == 0, done.stderr
    assert f'Wrote {out}: {mode}' in done.stdout
    stored = Adaptation.load(out)
    assert stored.seed == 1 and stored.classes == ['cat', 'dog', 'owl']
    assert '% top-1 on the images held out' in done.stdout

    # The printed line, as a user puts it into a config.
    line = next(
        line
        for line in done.stdout.splitlines()
        if line.startswith('model = dict(teacher=')
    )
    shutil.move(hidden, root / 'photo')
    config = tmp_path / 'adapted.py'
    config.write_text(f'_base_ = [{str(CONFIG)!r}]\n{line}\n')
    work_dir = tmp_path / 'work'
    trained = run_tool(
        'train.py',
        config,
        '--work-dir',
        work_dir,
        '--cfg-options',
        'train_cfg.max_epochs=1',
        'train_dataloader.batch_size=8',
        'train_dataloader.sampler.labelled=4',
        'train_dataloader.sampler.unlabelled=4',
        DATA_ROOT=str(root),
        **DOMAINS,
    )
    assert trained.returncode == 0, trained.stderr
    assert json.loads((work_dir / 'results.json').read_text())['epochs'] == 1
    weights = torch.load(work_dir / 'epoch_1.pth', weights_only=True)
    assert not [k for k in weights['state_dict'] if 'teacher' in k]
    log = next(work_dir.glob('*/*.log')).read_text()
    assert f'test_vit ({mode}-adapted)' in log


def test_wrong_input_is_one_sentence():
    done = run_tool('adapt_teacher.py', CONFIG, '--lr', '-1')
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith('error: ') and 'Traceback' not in done.stderr
    assert 'lr' in last and '-1.0' in last
