"""tools/throughput.py, as a user runs it."""

import json

import pytest

from tests.cli import REPOSITORY, call_tool, run_tool

CONFIG = REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder_128.py'
OPTIONS = (
    *('--windows', 2, '--batches', 2, '--workers', 1, '--synthetic', 20),
    '--cfg-options',
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
        *(CONFIG, '--json', report, *OPTIONS),
        cwd=tmp_path,
        DATA_ROOT=str(tmp_path / 'none'),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text())
    for name in ('student_only', 'uncached', 'cached', 'customize_cached'):
        figures = found[name]
        least, most = figures['spread']
        assert 0 < least <= figures['images_per_second'] <= most
        assert 0 <= figures['data_share'] < 1
        # torch alone takes more.
        assert figures['peak_mb'] > 100
        assert f'{figures["images_per_second"]:.0f}' in done.stdout
    for name in ('cached_ratio', 'cached_ratio_channels_last'):
        assert name in done.stdout and f'{found[name]:.4f}' in done.stdout
    # 256 numbers of two bytes and a checksum of four, in four views.
    assert 4 * 516 <= found['cache_bytes_per_image'] < 4 * 516 + 500
    assert found['config'] == CONFIG.name and found['synthetic'] == 20
    assert found['batch_size'] == 8 and found['views'] == 4
    assert found['image_size'] == [128, 128]
    assert found['versions']['torch']
    # It leaves nothing but what it was asked for.
    assert list(tmp_path.iterdir()) == [report]


def test_config_without_a_teacher_is_refused(capsys):
    path = REPOSITORY / 'configs/labelled_only/labelled_only_mbv3_elpv.py'
    assert call_tool('throughput.py', path) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith('error: config')
