import pytest

from mmkd_custom.datasets.prompt_names import prompt_names
from mmkd_custom.models.teachers.open_clip.zero_shot import check_class_names


@pytest.mark.parametrize(
    'folder, name',
    [
        ('Alarm_Clock', 'alarm clock'),
        ('ToothBrush', 'toothbrush'),
        ('Flipflops', 'flip-flops'),
        ('Postit_Notes', 'post-it notes'),
        ('TV', 'tv'),
        ('TVs', 'tvs'),
        ('TVStand', 'tv stand'),
        ('DeskLamp', 'desk lamp'),
        ('The_Eiffel_Tower', 'eiffel tower'),
        ('The', 'the'),
        ('theatre', 'theatre'),
        ('teddy-bear', 'teddy bear'),
        ('t-shirt', 't-shirt'),
        ('hot_air_balloon', 'hot air balloon'),
        ('aeroplane', 'airplane'),
        ('back_pack', 'backpack'),
        ('art  painting ', 'art painting'),
        ('n01440764', 'n01440764'),
    ],
)
def test_written_as_one_writes(folder, name):
    assert prompt_names([folder]) == [name]


def test_two_classes_never_get_one_name():
    classes = ['back_pack', 'Backpack', 'dog']
    names = prompt_names(classes)
    assert names == ['back pack', 'Backpack', 'dog']
    assert len(check_class_names(names)) == 3
