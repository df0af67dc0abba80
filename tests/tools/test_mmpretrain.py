"""MMPretrain's own tools/train.py on a config of this package."""

import runpy
import subprocess
import sys
from pathlib import Path

import mmpretrain
import pytest

from mmkd_custom.engine.config import load_config
from tests.cli import environment
from tests.helpers import make_domains

TOOL = Path(mmpretrain.__file__).parent / '.mim' / 'tools' / 'train.py'
CONFIG = """
_base_ = 'mmkd_custom::customkd_mbv3_domain_folder.py'

custom_imports = dict(imports=['mmkd_custom'])
model = dict(teacher=dict(teacher=dict(
    model_name='test_efficientnet', checkpoint=None)))
train_dataloader = dict(
    batch_size=8, num_workers=0, persistent_workers=False,
    sampler=dict(labelled=4, unlabelled=4))
val_dataloader = dict(num_workers=0, persistent_workers=False)
train_cfg = dict(max_epochs=2)
"""


@pytest.mark.slow
@pytest.mark.skipif(not TOOL.is_file(), reason='MMPretrain without its tools')
def test_it_trains_and_goes_on_in_another_process(tmp_path, monkeypatch):
    variables = dict(SOURCE='art', TARGET='photo', SEED='0')
    variables['DATA_ROOT'] = str(make_domains(tmp_path / 'data'))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (tmp_path / 'mine.py').write_text(CONFIG)
    # MMEngine knows by name which packages a base may be of.
    whole, work_dir = tmp_path / 'whole.py', tmp_path / 'run'
    load_config(tmp_path / 'mine.py').dump(whole)
    words = [str(TOOL), str(whole), '--work-dir', str(work_dir)]
    monkeypatch.setattr(sys, 'argv', words)
    runpy.run_path(str(TOOL), run_name='__main__')
    assert (work_dir / 'student.pth').is_file()
    more = ['--resume', 'auto', '--cfg-options', 'train_cfg.max_epochs=4']
    done = subprocess.run(
        [sys.executable, *words, *more],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (work_dir / 'last_checkpoint').read_text().endswith('epoch_4.pth')
    assert 'Epoch(train) [3]' in done.stdout
    assert 'Epoch(train) [1]' not in done.stdout
