"""tools/zero_shot.py on a run of DIME-FM, as a user calls it."""

import json

import pytest

from tests.cli import REPOSITORY, call_tool
from tests.helpers import make_domains
from tests.models.teachers.open_clip.open_clip_models import register

CONFIG = REPOSITORY / 'configs/dime_fm/dime_fm_mbv3_domain_folder.py'
OPTIONS = (
    '--cfg-options',
    'model.teacher.teacher.model_name=tiny-vit',
    'model.teacher.teacher.pretrained=None',
    'model.student.head.num_classes=12',
    'train_dataloader.batch_size=4',
    'train_dataloader.num_workers=0',
    'train_dataloader.sampler.labelled=2',
    'train_dataloader.sampler.unlabelled=2',
    'train_cfg.max_epochs=1',
    'test_dataloader.num_workers=0',
)


@pytest.mark.slow
def test_a_run_and_its_student_on_two_data_sets(tmp_path, monkeypatch, capsys):
    register(tmp_path)
    root = make_domains(tmp_path / 'data', per_class=3)
    for name, value in dict(
        DATA_ROOT=str(root), SOURCE='art', TARGET='photo', SEED='0'
    ).items():
        monkeypatch.setenv(name, value)
    work_dir = tmp_path / 'work'
    trained = ('train.py', CONFIG, '--work-dir', work_dir, *OPTIONS)
    assert call_tool(*trained) == 0
    figures = [tmp_path / f'{i}.json' for i in range(2)]
    for checkpoint, file in zip(('student.pth', 'epoch_1.pth'), figures):
        asked = (CONFIG, work_dir / checkpoint, '--json', file, *OPTIONS)
        assert call_tool('zero_shot.py', *asked) == 0
    assert figures[0].read_text() == figures[1].read_text()
    (row,) = json.loads(figures[0].read_text())['rows']
    assert row['images'] == 9 and row['classes'] == 3
    capsys.readouterr()
    done = call_tool(
        'zero_shot.py',
        CONFIG,
        work_dir / 'student.pth',
        '--data',
        root / 'art',
        root / 'photo',
        '--classes',
        'cat',
        'dog',
        'owl',
        '--templates',
        'diverse',
        *OPTIONS,
    )
    assert done == 0
    lines = capsys.readouterr().out.splitlines()
    firsts = [line.split()[1] for line in lines if '│ student' in line]
    assert firsts == ['art', 'photo', 'mean']
    # What the user gave is wrong, in one sentence.
    wrong = (CONFIG, work_dir / 'student.pth', '--templates', 'no', *OPTIONS)
    assert call_tool('zero_shot.py', *wrong) == 2
    assert 'templates' in capsys.readouterr().err
