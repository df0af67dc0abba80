"""A report of two finished runs: what is in it, and what is left out."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from mmkd_custom.analysis.features import student_features, teacher_features
from mmkd_custom.analysis.report import make_report
from mmkd_custom.analysis.runs import read_runs
from mmkd_custom.analysis.students import ask, build_tested, labels_of
from mmkd_custom.errors import UserError
from tests.cli import call_tool

NAMES = ('plain', 'distilled')
# Of trainings.
pytestmark = pytest.mark.slow


def folders(finished):
    return [finished / name for name in NAMES]


@pytest.fixture(scope='module')
def report(finished):
    """What the tool writes of both."""
    out = finished / 'report'
    # As any that is no matter here.
    options = ('--cfg-options', 'test_dataloader.num_workers=0')
    code = call_tool('analyze.py', *folders(finished), '--out', out, *options)
    assert code == 0
    return out


def test_pictures_and_a_page_that_needs_no_other_file(report, finished):
    pictures = {path.name for path in report.glob('*.png')}
    assert pictures >= {
        *('curves.png', 'confusion.png', 'similarity.png', 'features.png')
    }
    assert {p.stem for p in report.glob('*.svg')} == {
        p.stem for p in report.glob('*.png')
    }
    page = (report / 'report.html').read_text()
    embedded = re.findall(r'<img src="data:image/png;base64,([^"]+)"', page)
    assert len(embedded) == len(pictures)
    for data in embedded:
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            # Twice the width of a README at the most.
            assert 800 <= image.width <= 1660
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    for name in NAMES:
        results = json.loads((finished / name / 'results.json').read_text())
        assert f'<td>{results["last"]["accuracy/top1"]:.1f}' in page
    constant = results['constant']
    assert f'<td>{constant["single-label/f1-score"]:.1f}' in page
    assert 'tools/train.py customkd_mbv3_domain_folder.py' in page
    assert (
        '--names plain distilled --cfg-options test_dataloader.num_workers=0'
        in page
    )


def test_students_answer_as_they_were_tested(finished):
    for run in read_runs(folders(finished)):
        tested = build_tested(run)
        said, labels = ask(tested), labels_of(tested)
        assert said.scores.shape == (12, 3)
        np.testing.assert_allclose(said.scores.sum(1), 1, atol=1e-5)
        accuracy = 100 * (said.classes == labels).mean()
        last = run.results['last']['accuracy/top1']
        assert accuracy == pytest.approx(last, abs=1e-4)


def test_features_are_those_of_the_last_checkpoint(finished):
    plain, run = read_runs(folders(finished))
    tested = build_tested(run)
    before = sorted(run.work_dir.rglob('*'))
    students, chosen = student_features(tested, 20)
    config = tested.student.config
    taught, customized = teacher_features(run, config, 20)
    # Half from each stream, the same for student and teacher.
    assert chosen.called == [
        ('labelled', 'labelled: art'),
        ('unlabelled', 'unlabelled: photo'),
    ]
    assert (taught.streams == students.streams).all()
    assert (chosen.streams == 'labelled').sum() == 10
    assert taught.values.shape == (20, 256)
    assert students.values.shape == customized.values.shape == (20, 1024)
    # Four files a class, listed class by class, in both domains.
    places = [chosen.dataset.locate(int(i))[1] for i in chosen.indices]
    assert chosen.labels.tolist() == [place // 4 for place in places]
    weights = torch.load(run.work_dir / 'epoch_2.pth', weights_only=True)
    projection = [
        value.numpy()
        for name, value in weights['state_dict'].items()
        if name.startswith('teacher_projection')
    ]
    matrix, bias = sorted(projection, key=np.ndim, reverse=True)
    np.testing.assert_allclose(
        customized.values, taught.values @ matrix.T + bias, atol=1e-4
    )
    assert sorted(run.work_dir.rglob('*')) == before
    assert teacher_features(plain, build_tested(plain).student.config, 9) == []


def test_what_is_missing_is_told_and_left_out(finished, tmp_path):
    for name in NAMES:
        shutil.copytree(finished / name, tmp_path / name)
    for path in (tmp_path / 'distilled').glob('epoch_*.pth'):
        path.unlink()
    (tmp_path / 'plain' / 'student.pth').write_bytes(b'no checkpoint')
    for path in (tmp_path / 'plain').rglob('scalars.json'):
        path.unlink()
    found = make_report([tmp_path / 'plain', tmp_path / 'distilled'])
    assert found.page == tmp_path / 'distilled' / 'analysis' / 'report.html'
    told = '\n'.join(found.left_out)
    for words in ('plain, student', 'plain, losses', 'epoch_1.pth'):
        assert words in told, told
    assert {path.stem for path in found.pictures} == {
        *('curves', 'confusion', 'similarity', 'features')
    }
    page = found.page.read_text()
    assert page.count('<li>') == len(found.left_out)


def test_runs_of_different_test_sets_are_refused(finished, tmp_path):
    shutil.copytree(finished / 'plain', tmp_path / 'other')
    (config,) = (tmp_path / 'other').glob('*.py')
    text = config.read_text()
    where = text.index('test_dataloader=dict')
    config.write_text(
        text[:where] + text[where:].replace("'photo'", "'art'", 1)
    )
    with pytest.raises(UserError, match='test set.*other'):
        make_report([finished / 'plain', tmp_path / 'other'], tmp_path / 'o')
    assert not (tmp_path / 'o').exists()
