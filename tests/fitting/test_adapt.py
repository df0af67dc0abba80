"""From a config to a file that the config can name."""

import shutil

import pytest
import torch

from mmkd_custom.engine.config import load_config
from mmkd_custom.errors import UserError
from mmkd_custom.fitting.adapt import adapt_config, adapt_usage
from mmkd_custom.fitting.training import AdaptSettings
from mmkd_custom.models.teachers.timm.teacher import TimmTeacher
from mmkd_custom.models.teachers.wrappers.adapted import (
    Adaptation,
    AdaptedTeacher,
)
from mmkd_custom.registry import MODELS
from tests.cli import REPOSITORY
from tests.helpers import make_domains


@pytest.fixture
def config(tmp_path, monkeypatch):
    """The shipped domain-folder config, whose target's images are gone."""
    root = make_domains(tmp_path / 'data', per_class=5)
    shutil.rmtree(root / 'photo')
    weights = tmp_path / 'vit.pth'
    torch.save(TimmTeacher('test_vit').model.state_dict(), weights)
    for name, value in dict(
        DATA_ROOT=str(root), SOURCE='art', TARGET='photo', SEED='4'
    ).items():
        monkeypatch.setenv(name, value)

    def load(name='customkd_mbv3_domain_folder.py', **options):
        teacher = {
            'model.teacher.teacher.model_name': 'test_vit',
            'model.teacher.teacher.checkpoint': str(weights),
            'model.teacher.teacher.input_size': 32,
        }
        loaded = load_config(
            REPOSITORY / 'configs' / name,
            {
                'train_dataloader.num_workers': 0,
                **({} if 'labelled_only' in name else teacher),
                **options,
            },
        )
        loaded.work_dir = str(tmp_path / 'work')
        return loaded

    return load


@pytest.mark.parametrize('mode', ['norm', 'lora'])
def test_the_file_says_how_it_came_about(config, tmp_path, mode):
    if mode == 'lora':
        pytest.importorskip('peft')
    loaded = config()
    settings = AdaptSettings(mode, epochs=6, lr=1e-2, rank=2, alpha=3.0)
    adaptation, path = adapt_config(loaded, settings)
    assert path == tmp_path / 'work' / f'teacher_{mode}.safetensors'
    stored = Adaptation.load(path)
    assert vars(stored).keys() == vars(adaptation).keys()
    assert stored.classes == ['cat', 'dog', 'owl']
    assert stored.teacher == 'test_vit' and stored.seed == 4
    assert len(stored.split_sha256) == 64
    # The classes differ by hue; 3 images are held out.
    assert stored.accuracy == 100
    lora = mode == 'lora'
    assert (stored.rank, stored.alpha) == ((2, 3.0) if lora else (None, None))
    # Small: the adapters and the head alone.
    full = sum(p.numel() for p in TimmTeacher('test_vit').parameters())
    assert sum(t.numel() for t in stored.tensors.values()) < 0.1 * full

    # What is printed can be used.
    scope = {}
    exec(adapt_usage(loaded, mode, path).split('\n\n')[1], scope)
    # The cache stays around it.
    spec = scope['model']['teacher'].pop('teacher')
    assert scope['model'] == dict(teacher={})
    assert spec.pop('_delete_') and spec['num_classes'] == 'auto'
    teacher = MODELS.build(dict(spec, num_classes=3))
    assert isinstance(teacher, AdaptedTeacher) and teacher.num_classes == 3


def test_precision_and_batches_of_the_teacher_do_not_count(config, tmp_path):
    settings = AdaptSettings(epochs=1)
    options = {
        'model.teacher.teacher.dtype': 'bfloat16',
        'model.teacher.teacher.channels_last': False,
    }
    out = tmp_path / 'half.safetensors'
    half, _ = adapt_config(config(**options), settings, out)
    exact, _ = adapt_config(config(), settings, tmp_path / 'f.safetensors')
    assert half.teacher_sha256 == exact.teacher_sha256
    inner = config(**options).model.teacher.teacher
    teacher = AdaptedTeacher(inner, str(out))
    assert teacher.dtype == torch.bfloat16


def test_a_run_repeats(config, tmp_path):
    files = [
        adapt_config(config(), AdaptSettings(epochs=2), tmp_path / name)[1]
        for name in 'ab'
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_teacher_inside_an_adapted_one_is_adapted_anew(config, tmp_path):
    loaded = config()
    path = tmp_path / 'named.safetensors'
    plain, _ = adapt_config(loaded, AdaptSettings(epochs=1), tmp_path / 'a')
    # The file that the config names is not there yet.
    loaded.model.teacher.teacher = dict(
        type='mmkd_custom.AdaptedTeacher',
        teacher=loaded.model.teacher.teacher,
        adaptation=str(path),
        max_batch=2,
    )
    again, where = adapt_config(loaded, AdaptSettings(epochs=1))
    assert where == path and path.is_file()
    assert again.teacher_sha256 == plain.teacher_sha256
    for name, tensor in plain.tensors.items():
        torch.testing.assert_close(
            again.tensors[name], tensor, rtol=1e-3, atol=1e-4
        )


def test_no_accuracy_without_images_held_out(config, tmp_path):
    settings = AdaptSettings(epochs=1, holdout=0)
    adaptation, _ = adapt_config(config(), settings, tmp_path / 'a')
    assert adaptation.accuracy is None


def test_config_without_a_teacher_is_refused_before_training(config):
    name = 'labelled_only/labelled_only_mbv3_domain_folder.py'
    with pytest.raises(UserError) as error:
        adapt_config(config(name), AdaptSettings(epochs=1))
    assert 'model.teacher' in str(error.value)
