"""Small folders of generated images, and a tiny teacher in a file."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from tests.helpers import make_domains


@pytest.fixture(scope='session')
def domains(tmp_path_factory):
    """<domain>/<class>/*.jpg: art and photo of cat, dog and owl, 6 each."""
    return make_domains(tmp_path_factory.mktemp('quickstart') / 'data')


@pytest.fixture(scope='session')
def tiny_teacher(tmp_path_factory):
    """The short name of a teacher whose random weights are in a file."""
    torch.manual_seed(0)
    model = timm.create_model('test_efficientnet')
    file = tmp_path_factory.mktemp('teacher') / 'tiny.safetensors'
    save_file(model.state_dict(), str(file))
    return f'file/{file}:test_efficientnet'
