"""Text towers: the library's own embeddings, and what has none."""

import open_clip
import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers import OpenCLIPTeacher, TimmTeacher
from mmkd_custom.models.teachers.open_clip.text_tower import (
    load_tower,
    text_tower_of,
)
from tests.models.teachers.open_clip.open_clip_models import (
    FAMILIES,
    build,
    register,
)

TEXTS = ['a cat', 'two dogs on a sofa', '']


@pytest.fixture(scope='module', autouse=True)
def models(tmp_path_factory):
    register(tmp_path_factory.mktemp('models'))


@pytest.mark.parametrize('name', FAMILIES)
def test_embeddings_are_those_of_the_library(name, tmp_path):
    model = build(name)
    file = tmp_path / 'weights.pth'
    torch.save(model.state_dict(), file)
    tower = text_tower_of(OpenCLIPTeacher(name, checkpoint=str(file)))
    with torch.no_grad():
        tokens = open_clip.get_tokenizer(name)(TEXTS)
        expected = model.encode_text(tokens, normalize=True)
    found = tower.embed(TEXTS)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert tower.width == expected.shape[1]
    assert not any(p.requires_grad for p in tower.parameters())


def test_random_weights_are_the_same_whenever_they_are_built():
    towers = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        towers.append(load_tower('tiny-vit'))
        assert torch.initial_seed() == seed
    assert towers[0].digest() == towers[1].digest()


def test_what_has_no_texts_to_compare_with_is_named(tmp_path):
    with pytest.raises(UserError, match='expected an OpenCLIPTeacher'):
        text_tower_of(TimmTeacher('test_efficientnet', input_size=None))
    with pytest.raises(UserError, match="'projected'"):
        text_tower_of(OpenCLIPTeacher('tiny-vit', feature='pooled'))
    # An image tower alone is a teacher, but not one of texts.
    file = tmp_path / 'visual.pth'
    torch.save(build('tiny-vit').visual.state_dict(), file)
    teacher = OpenCLIPTeacher('tiny-vit', checkpoint=str(file))
    with pytest.raises(UserError, match='text tower'):
        text_tower_of(teacher)
