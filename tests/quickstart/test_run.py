"""The whole of it, on a few generated images with a tiny teacher."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from mmpretrain import ImageClassificationInferencer

import mmkd_custom
from mmkd_custom.errors import UserError
from mmkd_custom.quickstart import Result, distill
from mmkd_custom.quickstart.places import stem_of
from tests.cli import call_tool

SMALL = dict(
    student_weights='none',
    size=32,
    teacher_size=32,
    batch_size=12,
    epochs=2,
    workers=0,
)


@pytest.fixture(scope='module')
def result(domains, tiny_teacher, tmp_path_factory):
    """What came of a run."""
    out = tmp_path_factory.mktemp('run') / 'out'
    return distill(
        domains,
        labelled='art',
        unlabelled='photo',
        teacher=tiny_teacher,
        out=out,
        **SMALL,
    )


def weights(path):
    return torch.load(path, weights_only=True)['state_dict']


def test_it_is_the_packages_function():
    assert mmkd_custom.distill is distill


def test_table_and_files(result):
    assert isinstance(result, Result)
    names = [line.name for line in result.lines]
    assert names[0] == "always 'cat'" and len(names) == 3
    assert result.metrics == result.lines[-1].score
    report = json.loads((result.work_dir / 'report.json').read_text())
    assert [row['accuracy'] for row in report['rows']] == [
        line.score.accuracy for line in result.lines
    ]
    assert report['test_images'] == 3
    assert result.seconds > 0 and result.expected_seconds > 0


def test_mmpretrain_alone_reads_what_is_to_ship(result, domains):
    inferencer = ImageClassificationInferencer(
        str(result.work_dir / 'student.py'), pretrained=str(result.student)
    )
    image = domains / 'art' / 'dog' / '000.jpg'
    answer = inferencer(str(image))[0]
    assert answer['pred_class'] in ('cat', 'dog', 'owl')


def test_the_config_gives_the_same_student_by_itself(result, tmp_path):
    assert 'distill' in result.config.read_text()
    code = call_tool(
        'train.py', result.config, '--work-dir', tmp_path / 'again'
    )
    assert code == 0
    ours = weights(result.student)
    again = weights(tmp_path / 'again' / 'student.pth')
    assert ours.keys() == again.keys()
    assert all(torch.equal(ours[name], again[name]) for name in ours)


def test_quiet_and_of_two_images_a_class(
    domains, tiny_teacher, tmp_path, capfd
):
    # One of which is held out, so that nothing can be said of the other.
    for name in ('cat', 'dog'):
        (tmp_path / 'few' / name).mkdir(parents=True)
        for number in range(2):
            file = f'{name}/{number:03d}.jpg'
            shutil.copy(domains / 'art' / file, tmp_path / 'few' / file)
    capfd.readouterr()
    result = distill(
        tmp_path / 'few',
        teacher=tiny_teacher,
        out=tmp_path / 'out',
        quiet=True,
        **SMALL,
    )
    assert tuple(capfd.readouterr()) == ('', '')
    assert result.outlook.gain is None and len(result.lines) == 3
    report = json.loads((result.work_dir / 'report.json').read_text())
    assert report['outlook']['probe'] is None
    log = (result.work_dir / 'log.txt').read_text()
    assert 'Epoch(train)' in log and 'UserWarning' in log


def test_the_plan_alone_leaves_its_config(
    domains, tiny_teacher, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    result = distill(
        domains / 'art',
        teacher=tiny_teacher,
        plan_only=True,
        out='kept',
        **SMALL,
    )
    assert not result.lines and result.outlook.tested is None
    assert 'as asked for' in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ['kept']
    assert result.config.is_file() and not result.student.exists()


def test_the_command_ends_with_2_where_the_user_is_wrong(
    domains, tiny_teacher, tmp_path, capsys, result
):
    common = [domains / 'art', '--teacher', tiny_teacher]
    common += ['--student-weights', 'none', '--size', 32, '--workers', 0]
    common += ['--teacher-size', 32]
    for arguments, said in (
        (['--out', result.work_dir], '--resume auto'),
        (['--time', 'soon'], "'soon'"),
        (['--time', '1s', '--epochs', 2], 'time, epochs'),
        (['--time', '1s', '--out', tmp_path / 'o'], 'or more'),
        (['--student', 'mobilenet-v9'], 'mobilenet-v'),
        (['--teacher', 'nobody/knows'], 'teacher'),
        (['--method', 'none', '--out', tmp_path / 'o'], 'propagated'),
        (['--test', 'nowhere'], 'nowhere'),
    ):
        assert call_tool('distill.py', *common, *arguments) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith('error: ') and said in error
    assert not (tmp_path / 'o').exists()


def test_a_used_folder_is_refused_before_images_are_read(tmp_path):
    (tmp_path / 'used.txt').touch()
    with pytest.raises(UserError, match='used.txt'):
        distill('nowhere', out=tmp_path)


def test_the_folder_that_one_is_in(domains, tmp_path, monkeypatch):
    shutil.copytree(domains / 'art', tmp_path / 'pets')
    monkeypatch.chdir(tmp_path / 'pets')
    assert (stem_of('.'), stem_of('..')) == ('pets', tmp_path.name)
    assert stem_of(None) == stem_of('/') == 'images'
    said = 'out work_dirs/distill_pets: .* outside .*pets, .* --out'
    # It would be a class of the next run.
    with pytest.raises(UserError, match=said):
        distill('.')
    assert not Path('work_dirs').exists()
