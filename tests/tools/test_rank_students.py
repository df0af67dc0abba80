"""tools/rank_students.py, as a user runs it."""

import pytest

from tests.cli import REPOSITORY, run_tool
from tests.helpers import make_domains

CONFIG = REPOSITORY / 'configs' / 'fitnet' / 'fitnet_mbv3_domain_folder.py'


@pytest.mark.slow
def test_it_ranks(tmp_path):
    names = 'mobilenet-v3-small', 'timm/test_efficientnet'
    done = run_tool(
        'rank_students.py',
        CONFIG,
        *names,
        '--seeds',
        1,
        '--cfg-options',
        'model.teacher.teacher.model_name=test_efficientnet',
        'model.teacher.teacher.checkpoint=None',
        'train_dataloader.num_workers=0',
        DATA_ROOT=str(make_domains(tmp_path / 'data', per_class=1)),
        SOURCE='art',
        TARGET='photo',
    )
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in names)
