"""tools/throughput.py, as a user runs it."""

import json
import runpy
import sys

import pytest

from mmkd_custom.errors import UserError
from tests.cli import REPOSITORY, run_tool

CONFIG = REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder_128.py'
TINY = (
    'model.teacher.teacher.model_name=test_efficientnet',
    'model.teacher.teacher.checkpoint=None',
    'train_dataloader.batch_size=8',
    'train_dataloader.sampler.labelled=4',
    'train_dataloader.sampler.unlabelled=4',
)


@pytest.mark.slow
def test_it_prints_and_writes_its_figures(tmp_path):
    report = tmp_path / 'figures.json'
    done = run_tool(
        'throughput.py',
        CONFIG,
        '--synthetic',
        20,
        '--windows',
        2,
        '--batches',
        2,
        '--workers',
        1,
        '--json',
        report,
        '--cfg-options',
        *TINY,
        cwd=tmp_path,
        DATA_ROOT=str(tmp_path / 'none'),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text())
    for name in ('student_only', 'uncached', 'cached', 'customize_cached'):
        figures = found[name]
        least, most = figures['spread']
        assert 0 < least <= figures['images_per_second'] <= most
        # torch alone takes more.
        assert figures['peak_mb'] > 100
        assert f'{figures["images_per_second"]:.0f}' in done.stdout
    assert f'cached / student_only: {found["cached_ratio"]:.3f}' in done.stdout
    assert found['customize_time_ratio'] > 0
    # 256 numbers of two bytes and a checksum of four, in four views.
    assert 4 * 516 <= found['cache_bytes_per_image'] < 4 * 516 + 500
    assert found['config'] == CONFIG.name and found['synthetic'] == 20
    assert found['batch_size'] == 8 and found['views'] == 4
    assert found['image_size'] == [128, 128]
    assert found['versions']['torch']
    # It leaves nothing but what it was asked for.
    assert list(tmp_path.iterdir()) == [report]


@pytest.mark.slow
def test_whole_runs(tmp_path):
    report = tmp_path / 'figures.json'
    done = run_tool(
        'throughput.py',
        CONFIG,
        '--synthetic',
        20,
        '--whole-run',
        3,
        '--workers',
        0,
        '--json',
        report,
        '--cfg-options',
        *TINY,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text())
    for name in ('cached', 'uncached'):
        run = found[name]
        assert len(run['epoch_seconds']) == 3
        assert run['seconds'] == pytest.approx(
            run['start_seconds'] + sum(run['epoch_seconds'])
        )
        assert f'{name}: {run["seconds"]:.0f} s' in done.stdout
    assert found['whole_run_ratio'] == pytest.approx(
        found['cached']['seconds'] / found['uncached']['seconds']
    )
    assert 0 <= found['top1_agreement'] <= 100
    assert list(tmp_path.iterdir()) == [report]


@pytest.mark.slow
def test_a_config_without_a_teacher_is_refused(tmp_path):
    done = run_tool(
        'throughput.py',
        REPOSITORY / 'configs/labelled_only/labelled_only_mbv3_elpv.py',
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith('error: config: its model')


def test_a_report_that_cannot_be_written_is_refused_first(
    tmp_path, monkeypatch
):
    report = str(tmp_path / 'no' / 'f.json')
    monkeypatch.setattr(sys, 'argv', ['tool', 'none.py', '--json', report])
    tool = runpy.run_path(str(REPOSITORY / 'tools' / 'throughput.py'))
    with pytest.raises(UserError, match='--json .*no'):
        tool['main']()
