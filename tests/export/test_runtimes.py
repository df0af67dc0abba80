"""Other runtimes, each where its packages are installed."""

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.export import Wanted, export_folder, files
from mmkd_custom.export.runtimes import RUNTIMES
from tests.export.runs import finished_run

pytest.importorskip('onnxruntime')


@pytest.mark.parametrize('option', RUNTIMES)
def test_runtime_says_what_the_student_says(tmp_path, option, monkeypatch):
    try:
        RUNTIMES[option].check()
    except UserError as error:
        pytest.skip(str(error))
    monkeypatch.setattr(
        'mmkd_custom.export.folder.check_elsewhere', lambda *_: None
    )
    work = finished_run(tmp_path)
    facts = export_folder(work, wanted=Wanted(runtimes=(option,)))
    file = facts['files'][RUNTIMES[option].file]
    assert file['same_top1'] == file['test_images'] == 9
    # ncnn's kernels round a little earlier.
    assert file['max_logit_difference'] <= (1e-2 if option == 'ncnn' else 1e-4)


@pytest.mark.parametrize('option', RUNTIMES)
def test_missing_package_is_named(option, monkeypatch):
    import sys

    (*_, last) = RUNTIMES[option].packages
    monkeypatch.setitem(sys.modules, last, None)
    with pytest.raises(UserError, match=rf'--{option}: .*\[{option}\]'):
        RUNTIMES[option].check()


def test_network_that_none_converts_is_refused(tmp_path, monkeypatch):
    def write(model, images, path, onnx):
        raise KeyError('some operator')

    monkeypatch.setattr(RUNTIMES['litert'], 'write', write)
    onnx = files.Written((tmp_path / 'student.onnx',), None)
    with pytest.raises(UserError, match='--litert: .*some operator'):
        files.write_runtime('litert', torch.nn.Identity(), onnx, (3, 8, 8))
