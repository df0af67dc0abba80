"""Every shipped config trains each of its stages, on its data's layout."""

import json
import math

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmkd_custom.engine.config import load_config, prepare, read_config
from mmkd_custom.engine.launch import train
from mmkd_custom.errors import UserError
from mmkd_custom.fitting.config import inner_teacher
from mmkd_custom.registry import MODELS
from tests.cli import run_tool
from tests.configs.shipped import BUT_METHODS, CONFIGS, ROOT, TRIED
from tests.helpers import make_domains
from tests.models.teachers.open_clip.open_clip_models import register

#: Other teachers than a config's own, so that each one shipped is built.
TEACHERS = {
    'customkd_mbv3_officehome_cached.py': 'openclip_vitb16',
    'customkd_mbv3_domain_folder_128.py': 'dinov2_vits14',
}
TINY = dict(
    TimmTeacher=dict(
        model_name='test_vit',
        pretrained=False,
        checkpoint=None,
        input_size=160,
    ),
    OpenCLIPTeacher=dict(model_name='tiny-vit', pretrained=None),
)
#: Narrow students of the same kinds: the width of the feature, the `arch`.
NARROW = {
    'vit': (192, 'deit-tiny'),
    'convnext-t': (320, 'atto'),
    'swin-t_': (
        192,
        dict(
            _delete_=True,
            embed_dims=24,
            depths=[1, 1, 2, 1],
            num_heads=[1, 2, 4, 8],
        ),
    ),
    # As deep as it is, because its blocks are named.
    'mixer-b': (
        32,
        dict(
            _delete_=True,
            embed_dims=32,
            num_layers=12,
            tokens_mlp_dims=8,
            channels_mlp_dims=64,
        ),
    ),
}


def stages(name: str) -> bool:
    """Whether a config has customization epochs."""
    return any(word in name for word in ('customkd', 'recipe', 'specific'))


def small(name: str) -> dict:
    """What makes a config small and offline; its structure stays."""
    alone = 'labelled_only' in name
    unpaired = name.startswith('dime_fm/')
    teacher, option = inner_teacher(read_config(ROOT / name))
    options = {
        'train_dataloader.batch_size': 2 if alone else 4,
        'train_dataloader.num_workers': 0,
        'train_dataloader.sampler.labelled': 2,
        'train_dataloader.sampler.unlabelled': 2,
        'train_dataloader.sampler.epoch_length': 1,
        'val_dataloader.num_workers': 0,
        'val_dataloader.dataset.indices': 4,
        'train_cfg.max_epochs': 2 if stages(name) else 1,
        'default_hooks.logger.interval': 1,
        # Checkpoints are the same for all and take most of the time.
        'default_hooks.checkpoint.interval': 100,
    }
    if unpaired:
        # As wide as the tiny teacher's embedding.
        options['model.student.head.num_classes'] = 12
    if unpaired and 'domain_folder' not in name:
        options['train_dataloader.sampler.labelled'] = 0
        options['train_dataloader.sampler.unlabelled'] = 4
        # Beyond the warm-up.
        options['train_cfg.max_epochs'] = 5
        for key in [k for k in options if k.startswith('val_')]:
            del options[key]
    if name.endswith('vitb32.py'):
        # A thirtieth of the weights.
        options['model.student.backbone.arch'] = 'deit-tiny'
        options['model.student.head.in_channels'] = 192
    if name.startswith('benchmark/true_labels'):
        # Batches of labelled images alone.
        options['train_dataloader.sampler.labelled'] = 4
        options['train_dataloader.sampler.unlabelled'] = 0
    if teacher:
        tiny = TINY[teacher.type]
        options.update({f'{option}.{k}': v for k, v in tiny.items()})
    if 'elpv' in name:
        # What the teacher's feature is standardised over.
        options['train_dataloader.dataset.unlabelled.indices'] = 8
    if name.startswith('scalekd'):
        options.update(small_scalekd(name))
    elif 'imagenet' in name:
        # A ResNet takes any size; the pipelines stay those of the config.
        for stream in ('labelled', 'unlabelled'):
            path = f'train_dataloader.dataset.{stream}.pipeline.1.scale'
            options[path] = 64
        options['val_dataloader.dataset.pipeline.2.crop_size'] = 64
        if not alone:
            options['model.input_size'] = 64
    if any(
        part in name
        for part in ('mbv3_officehome', 'mbv3_domainnet', 'dime_fm_mbv3.py')
    ):
        path = 'model' if alone else 'model.student'
        options[f'{path}.backbone.init_cfg'] = None
    return options


def small_scalekd(name: str) -> dict:
    """All images labelled; networks of fixed size on small images."""
    if 'imagenet' not in name:
        return {}
    size = 56 if 'beit' in name else 64
    options = {
        'train_dataloader.sampler.labelled': 4,
        'train_dataloader.sampler.unlabelled': 0,
        'train_dataloader.dataset.labelled.pipeline.1.scale': size,
        'val_dataloader.dataset.pipeline.2.crop_size': size,
        # One epoch of warm-up, one behind it.
        'train_cfg.max_epochs': 2,
        'param_scheduler.0.end': 1,
        'param_scheduler.1.begin': 1,
        'model.input_size': size,
        'model.teacher.num_classes': 4,
        # The stand-in is narrow.
        'model.stage3.num_heads': 4,
        'model.stage4.num_heads': 4,
    }
    if 'swin-t_' in name:
        # The last stage has to fill one.
        options['model.student.backbone.window_size'] = 2
    for kind, (width, arch) in NARROW.items():
        if kind in name:
            options['model.student.backbone.arch'] = arch
            options['model.student.head.in_channels'] = width
    if any(kind in name for kind in ('vit', 'mixer', 'swin-t_')):
        options['model.student.backbone.img_size'] = size
    return options


def test_contract():
    """The names that users and outside checks rely on."""
    assert {
        'customkd_mbv3_officehome.py',
        'customkd_mbv3_domain_folder.py',
    } <= {*CONFIGS}
    folders = {name.split('/')[0] for name in CONFIGS if '/' in name}
    assert {'soft_target', 'fitnet', 'dkd', 'labelled_only'} <= folders
    # Runs and tables are named after the file alone.
    names = [name.split('/')[-1] for name in CONFIGS]
    assert len({*names}) == len(names)


@pytest.mark.parametrize('teacher', ['openclip_vitb16', 'dinov2_vits14'])
def test_teacher_variable_replaces_the_teacher(teacher, monkeypatch):
    monkeypatch.setenv('TEACHER', teacher)
    wanted = read_config(ROOT / f'_base_/teachers/{teacher}.py').teacher
    for name in BUT_METHODS:
        found, _ = inner_teacher(read_config(ROOT / name))
        assert found == (None if 'labelled_only' in name else wanted), name


def test_unknown_teacher_is_named(monkeypatch):
    monkeypatch.setenv('TEACHER', 'dinov9')
    with pytest.raises(UserError, match='dinov9'):
        load_config(ROOT / 'customkd_mbv3_officehome.py')


@pytest.mark.parametrize('width', [2, 8])
def test_wide_students_fit_together(width):
    path = ROOT / '_base_/students' / f'wrn28_{width}_cifar.py'
    student = Config.fromfile(path).student
    student.head.num_classes = 100
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        student = MODELS.build(student)
    assert student.backbone.out_channels == 64 * width
    assert student.head.fc.in_features == 64 * width


@pytest.mark.slow
@pytest.mark.parametrize('name', [*BUT_METHODS, *TRIED])
def test_config_trains_and_reports(name, layout, monkeypatch, tmp_path):
    variables = layout(name)
    if name in TEACHERS:
        variables = dict(variables, TEACHER=TEACHERS[name])
    if name.startswith('dime_fm/') and 'domain_folder' not in name:
        # Any images, and a corpus.
        variables = layout('domain_folder')
        (tmp_path / 'corpus.txt').write_text('a cat\na dog\nan owl\n')
        variables['CORPUS'] = str(tmp_path / 'corpus.txt')
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    (tmp_path / 'models').mkdir()
    register(tmp_path / 'models')
    work_dir = tmp_path / 'work'
    config = load_config(ROOT / name, small(name))
    train(prepare(config, config_path=ROOT / name, work_dir=str(work_dir)))

    results = json.loads((work_dir / 'results.json').read_text())
    assert results['task'] == config.task
    if not name.startswith(('pretrain', 'dime_fm')):
        assert 0 <= results['last']['accuracy/top1'] <= 100
        assert 0 <= results['last']['single-label/f1-score'] <= 100
    if inner_teacher(config)[0]:
        # Which teacher it was stays known.
        _, option = inner_teacher(config)
        kind = results['settings'][f'{option}.type']
        assert kind == inner_teacher(config)[0].type
    lines = next(work_dir.glob('*/vis_data/scalars.json')).read_text()
    scalars = [json.loads(line) for line in lines.splitlines()]
    losses = [entry['loss'] for entry in scalars if 'loss' in entry]
    assert len(losses) == config.train_cfg.max_epochs
    assert all(map(math.isfinite, losses))
    if 'customkd' in name:
        terms = {key for entry in scalars for key in entry}
        assert {'loss_customization', 'loss_general'} <= terms


@pytest.mark.slow
def test_student_weights_that_cannot_be_downloaded_are_named(tmp_path):
    root = make_domains(tmp_path / 'data', ('Art', 'Clipart'), per_class=1)
    result = run_tool(
        'train.py',
        ROOT / 'customkd_mbv3_officehome.py',
        '--work-dir',
        tmp_path / 'work',
        '--cfg-options',
        'val_dataloader.num_workers=0',
        'model.teacher.pretrained=False',
        'model.teacher.model_name=test_vit',
        DATA_ROOT=str(root),
        SOURCE='Art',
        TARGET='Clipart',
        TORCH_HOME=str(tmp_path / 'hub'),
        # No proxy answers there: a download fails at once.
        https_proxy='http://127.0.0.1:9',
        HTTPS_PROXY='http://127.0.0.1:9',
    )
    assert result.returncode == 2, result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith('error: ')
    assert 'mobilenet_v3_large-3ea3c186' in last
    assert not list((tmp_path / 'work').glob('*.pth'))
