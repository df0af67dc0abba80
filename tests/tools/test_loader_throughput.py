"""tools/loader_throughput.py, as a user runs it."""

import json
import runpy
import sys

import pytest

from mmkd_custom.errors import UserError
from tests.cli import REPOSITORY, TINY, run_tool
from tests.helpers import make_domains

CONFIG = REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder.py'


@pytest.mark.slow
def test_it_prints_and_writes_its_figures(tmp_path):
    root = make_domains(tmp_path / 'data')
    report = tmp_path / 'figures.json'
    done = run_tool(
        'loader_throughput.py',
        CONFIG,
        '--workers',
        1,
        '--repeats',
        2,
        '--json',
        report,
        '--cfg-options',
        *TINY,
        DATA_ROOT=str(root),
        SOURCE='art',
        TARGET='photo',
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text())
    # 18 images a domain, 4 + 4 a batch: 5 batches of 8.
    assert (found['images'], found['batch_size']) == (40, 8)
    assert len(found['two_stream']) == len(found['plain']) == 2
    assert '2 windows of 40 images in batches of 8, 1 workers' in done.stdout
    assert f'ratio: {found["ratio"]:.3f}' in done.stdout


def test_a_report_that_cannot_be_written_is_refused_first(
    tmp_path, monkeypatch
):
    report = str(tmp_path / 'no' / 'f.json')
    monkeypatch.setattr(sys, 'argv', ['tool', 'none.py', '--json', report])
    tool = runpy.run_path(str(REPOSITORY / 'tools' / 'loader_throughput.py'))
    with pytest.raises(UserError, match='--json .*no'):
        tool['main']()
