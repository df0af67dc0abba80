"""tools/describe_teacher.py, as a user runs it."""

import pytest

from tests.cli import REPOSITORY, run_tool
from tests.helpers import make_domains

CONFIG = REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder.py'
OPTIONS = (
    '--cfg-options',
    'model.teacher.teacher.model_name=test_efficientnet',
    'model.teacher.teacher.checkpoint=None',
)


@pytest.mark.slow
def test_it_describes_and_measures(tmp_path):
    root = make_domains(tmp_path / 'data')
    done = run_tool(
        'describe_teacher.py',
        CONFIG,
        '--batch-size',
        16,
        '--max-batch',
        4,
        *OPTIONS,
        DATA_ROOT=str(root),
        SOURCE='art',
        TARGET='photo',
    )
    assert done.returncode == 0, done.stderr
    assert 'Teacher test_efficientnet' in done.stdout
    # The config's images have 96 pixels.
    assert 'maps.0 16x48x48' in done.stdout
    assert 'Batch of 16 images' in done.stdout
    rows = [
        line.split('│')[1].strip()
        for line in done.stdout.splitlines()
        if line.startswith('│')
    ]
    assert rows == ['None', '4']


def test_max_batch_without_a_batch_is_refused():
    done = run_tool('describe_teacher.py', CONFIG, '--max-batch', 4)
    assert done.returncode == 2
    assert '--max-batch' in done.stderr and '--batch-size' in done.stderr
