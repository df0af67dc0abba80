"""Training and testing leave what was finished and nothing else."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import load
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, METRICS
from PIL import Image

from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.engine.launch import test as run_test
from mmkd_custom.engine.launch import train
from mmkd_custom.errors import UserError
from mmkd_custom.export.checkpoint import save_student
from mmkd_custom.models import CustomKD
from mmkd_custom.registry import MODELS
from mmkd_custom.utils.files import load_checkpoint
from mmkd_custom.utils.runs import RUN_KEY, run_of
from tests.cli import REPOSITORY, TINY, environment, free_port
from tests.helpers import make_domains

CONFIG = REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder.py'
DOMAINS = dict(SOURCE='art', TARGET='photo', SEED='0')
NO_TEACHER = {'model.teacher.teacher.checkpoint': 'nothing.pth'}


@pytest.fixture
def root(tmp_path):
    return make_domains(tmp_path / 'data', per_class=2)


@pytest.fixture
def make(root, monkeypatch):
    """Prepares the shipped domain-folder config, made small."""
    for name, value in dict(DOMAINS, DATA_ROOT=str(root)).items():
        monkeypatch.setenv(name, value)

    def build(work_dir, options=(), **switches):
        config = load_config(
            CONFIG,
            {
                'model.teacher.teacher.model_name': 'test_efficientnet',
                'model.teacher.teacher.checkpoint': None,
                'train_dataloader.batch_size': 4,
                'train_dataloader.num_workers': 0,
                'train_dataloader.sampler.labelled': 2,
                'train_dataloader.sampler.unlabelled': 2,
                'val_dataloader.num_workers': 0,
                'test_dataloader.num_workers': 0,
                'train_cfg.max_epochs': 2,
                **dict(options),
            },
        )
        return prepare(
            config, config_path=CONFIG, work_dir=str(work_dir), **switches
        )

    return build


def tree(folder):
    """Every file's bytes, every folder."""
    return {
        path.relative_to(folder).as_posix(): (
            None if path.is_dir() else path.read_bytes()
        )
        for path in folder.rglob('*')
    }


def without_logs(folder):
    """The same, less what the first runner of this process still writes."""
    return {k: v for k, v in tree(folder).items() if not k.endswith('.log')}


def spoil(root, domain):
    """Makes one image of a domain unreadable."""
    (root / domain / 'owl' / '000.jpg').write_bytes(b'no jpeg')
    return root


def test_a_wrong_option_leaves_no_folder(make, tmp_path):
    kept = tmp_path / 'runs'
    kept.mkdir()
    with pytest.raises(UserError, match='nothing.pth'):
        train(make(kept / 'a' / 'b' / 'run', NO_TEACHER))
    assert os.listdir(kept) == []


class Mistaken(Hook):
    """Finds the user's input wrong at some point."""

    priority = 'LOWEST'

    def __init__(self, point):
        setattr(self, point, self._refuse)

    def _refuse(self, *args, **kwargs):
        raise UserError('found late.')


@pytest.mark.parametrize('point', ['before_train', 'after_train_iter'])
def test_a_mistake_leaves_of_a_cache_what_was_computed(make, tmp_path, point):
    work_dir = tmp_path / 'run'
    HOOKS.register_module(module=Mistaken, force=True)
    config = make(work_dir)
    config.custom_hooks.append(dict(type='Mistaken', point=point))
    with pytest.raises(UserError, match='found late'):
        train(config)
    if point == 'before_train':
        assert not work_dir.exists()
        return
    assert os.listdir(work_dir) == ['teacher_cache']
    entries = np.fromfile(work_dir / 'teacher_cache/checksums.u32', np.uint32)
    # One batch of two labelled images; twelve images in four views.
    assert (entries.size, np.count_nonzero(entries)) == (48, 2)
    # The next run goes on from there.
    config = make(work_dir, validate=False)
    config.custom_hooks.append(dict(type='Mistaken', point='before_train'))
    with pytest.raises(UserError, match='found late'):
        train(config)
    after = np.fromfile(work_dir / 'teacher_cache/checksums.u32', np.uint32)
    assert (after == entries).all()


OLD = (
    CONFIG.name,
    'results.json',
    'student.pth',
    'epoch_1.pth',
    'epoch_40.pth',
    'best_accuracy_top1_epoch_40.pth',
    'last_checkpoint',
    'sub/log.txt',
)


@pytest.fixture
def used(tmp_path):
    """A work directory that an older run used."""
    work_dir = tmp_path / 'run'
    (work_dir / 'sub').mkdir(parents=True)
    for name in OLD:
        (work_dir / name).write_text(f'old {name}')
    return work_dir


@pytest.mark.parametrize('resume', [None, 'auto'])
def test_a_used_folder_is_refused(make, used, resume):
    for name in ('epoch_1.pth', 'epoch_40.pth'):
        (used / name).unlink()
    before = tree(used)
    with pytest.raises(UserError, match='best_accuracy.*--overwrite'):
        train(make(used, resume=resume))
    assert tree(used) == before


@pytest.mark.parametrize('point', ['before_train', 'before_train_iter'])
def test_a_mistake_deletes_nothing_before_the_first_step(make, used, point):
    before = tree(used)
    with pytest.raises(UserError, match='nothing.pth'):
        train(make(used, NO_TEACHER, overwrite=True))
    assert tree(used) == before
    HOOKS.register_module(module=Mistaken, force=True)
    config = make(used, overwrite=True)
    config.custom_hooks.append(dict(type='Mistaken', point=point))
    with pytest.raises(UserError, match='found late'):
        train(config)
    assert tree(used) == before


def test_overwriting_deletes_all_that_an_older_run_left(make, used):
    train(make(used, validate=False, overwrite=True))
    assert sorted(path.name for path in used.glob('*.pth')) == [
        'epoch_1.pth',
        'epoch_2.pth',
        'student.pth',
    ]
    assert (used / 'sub' / 'log.txt').is_file()
    assert json.loads((used / 'results.json').read_text())['epochs'] == 2
    # The switch does not become part of the config.
    assert 'overwrite' not in (used / CONFIG.name).read_text()
    with pytest.raises(UserError, match='--overwrite'):
        train(make(used, validate=False))


def test_files_stay_once_an_epoch_is_done(make, tmp_path):
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    (work_dir / CONFIG.name).write_text('old')
    # The evaluation after the first epoch meets it.
    other = spoil(make_domains(tmp_path / 'other', per_class=2), 'photo')
    options = {
        'val_dataloader.dataset.data_root': str(other),
        'train_cfg.val_interval': 1,
    }
    with pytest.raises(UserError, match='000.jpg'):
        train(make(work_dir, options))
    saved = torch.load(work_dir / 'epoch_1.pth', weights_only=True)
    assert saved['meta']['epoch'] == 1
    assert (work_dir / CONFIG.name).read_text() != 'old'
    assert list(work_dir.glob('*/*.log'))
    assert not (work_dir / 'results.json').exists()


@pytest.fixture
def finished(make, tmp_path):
    """The folder of a run of two epochs, art to photo, seed 0."""
    train(make(tmp_path / 'run', validate=False))
    return tmp_path / 'run'


@pytest.mark.slow
@pytest.mark.parametrize(
    'change, words',
    [
        (dict(SEED='1'), ['expected seed=1, got 0']),
        (
            dict(SOURCE='photo', TARGET='art'),
            ["task='photo->art'", "got 'art->photo'"],
        ),
        ('an image less', ['split_sha256=']),
    ],
)
def test_a_run_is_not_resumed_as_another(
    make, finished, root, monkeypatch, change, words
):
    if change == 'an image less':
        (root / 'art' / 'owl' / '000.jpg').unlink()
    else:
        for name, value in change.items():
            monkeypatch.setenv(name, value)
    before = without_logs(finished)
    options = {'train_cfg.max_epochs': 4}
    with pytest.raises(UserError) as error:
        train(make(finished, options, validate=False, resume='auto'))
    for word in ['epoch_2.pth', *words]:
        assert word in str(error.value)
    assert without_logs(finished) == before


@pytest.mark.slow
def test_a_checkpoint_that_does_not_tell_its_run_is_resumed(
    make, finished, monkeypatch
):
    path = finished / 'epoch_2.pth'
    older = load_checkpoint(path)
    del older['message_hub']['runtime_info'][RUN_KEY]
    torch.save(older, path)
    # As old as that, it has no cache, which would tell the seed too.
    shutil.rmtree(finished / 'teacher_cache')
    monkeypatch.setenv('TARGET', 'photo')
    monkeypatch.setenv('SEED', '1')
    options = {'train_cfg.max_epochs': 4}
    train(make(finished, options, validate=False, resume='auto'))
    results = json.loads((finished / 'results.json').read_text())
    assert results['epochs'] == 4
    # MMEngine takes over the checkpoint's seed, and the results say so.
    assert results['seed'] == 0
    assert run_of(load_checkpoint(finished / 'epoch_4.pth'))['seed'] == 0


@pytest.mark.parametrize('name', ['epoch_2.pth', 'student.pth'])
def test_weights_that_the_run_would_delete_are_no_start(make, used, name):
    (used / name).write_text('old')
    before = tree(used)
    start = {'load_from': str(used / '..' / 'run' / name)}
    with pytest.raises(UserError, match='--overwrite.*--work-dir'):
        train(make(used, start, overwrite=True))
    assert tree(used) == before


@pytest.mark.parametrize(
    'option, words',
    [
        ('model.genral_weight', ['CustomKD', "'general_weight'"]),
        ('model.teacher.cache_dri', ['CachedTeacher', "'cache_dir'"]),
        ('model.student.backbone.archh', ['MobileNetV3', "'arch'"]),
        ('custom_hooks.3.tusk', ['ResultsHook', "'task'"]),
        ('train_dataloader.sampler.labeled', ['TwoStream', "'labelled'"]),
        ('train_dataloader.num_worker', ['DataLoader', "'num_workers'"]),
        ('train_cfg.max_epoch', ['EpochBasedTrainLoop', "'max_epochs'"]),
        ('optim_wrapper.optimizer.weigth_decay', ['AdamW', "'weight_decay'"]),
        ('param_scheduler.0.start_facter', ['LinearLR', "'start_factor'"]),
        ('val_evaluator.0.topkk', ['Accuracy', "'topk'"]),
    ],
)
def test_a_misspelt_argument_is_named(make, tmp_path, option, words):
    with pytest.raises(UserError) as error:
        train(make(tmp_path / 'run', {option: 3}))
    for word in [f"takes no argument '{option.split('.')[-1]}'", *words]:
        assert word in str(error.value)
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    'option, name, words',
    [
        ('model', 'CustomKDD', ['model', "'CustomKD'"]),
        ('model.teacher', 'CachdTeacher', ['model', "'CachedTeacher'"]),
        ('model.teacher.teacher', 'TimTeacher', ['model', "'TimmTeacher'"]),
        ('custom_hooks.1', 'EpochSedHook', ['hook', "'EpochSeedHook'"]),
        (
            'train_dataloader.sampler',
            'mmkd_custom.TwoStreamSamplr',
            ['sampler', "'TwoStreamSampler'"],
        ),
        ('optim_wrapper.optimizer', 'AdamWW', ['optimizer', "'AdamW'"]),
        ('param_scheduler.0', 'LinarLR', ['scheduler', "'LinearLR'"]),
        ('val_evaluator.0', 'Acuracy', ['metric', "'Accuracy'"]),
    ],
)
def test_a_misspelt_type_is_named(make, tmp_path, option, name, words):
    with pytest.raises(UserError) as error:
        train(make(tmp_path / 'run', {f'{option}.type': name}))
    for word in [f'type={name!r}', *words]:
        assert word in str(error.value)
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    'defect',
    [
        TypeError("forward() got an unexpected keyword argument 'student'"),
        TypeError("f() missing 1 required positional argument: 'teacher'"),
        KeyError('general_weight'),
    ],
)
@pytest.mark.parametrize('where', ['forward', '__init__'])
def test_a_defect_of_a_model_is_no_mistake_of_the_user(
    make, tmp_path, monkeypatch, where, defect
):
    def broken(*args, **kwargs):
        raise defect

    config = make(tmp_path / 'run')
    # Within the constructor: what it calls, not the constructor itself.
    name = 'forward' if where == 'forward' else 'set_stage'
    monkeypatch.setattr(CustomKD, name, broken)
    with pytest.raises(type(defect)):
        train(config)


def test_train_gives_the_metrics_of_the_last_evaluation(make, tmp_path):
    metrics = train(make(tmp_path / 'run'))
    results = json.loads((tmp_path / 'run' / 'results.json').read_text())
    assert metrics == dict(results['history'][-1])
    assert metrics['epoch'] == 2
    assert 0 <= metrics['accuracy/top1'] <= 100


def test_a_run_without_evaluation_has_no_metrics(make, tmp_path):
    assert train(make(tmp_path / 'run', validate=False)) == {}
    assert (tmp_path / 'run' / 'student.pth').is_file()


@pytest.fixture
def student(make, tmp_path):
    """A plain student that calls everything an owl."""
    config = make(tmp_path / 'unused')
    model = MODELS.build(config.model.student)
    fc = model.head.layers[-1].fc
    torch.nn.init.zeros_(fc.weight)
    fc.bias.data = torch.tensor([0.0, 1.0, 2.0])
    path = tmp_path / 'student.pth'
    save_student(model.state_dict(), path)
    return path


def test_a_plain_student_is_tested_without_its_teacher(
    make, student, tmp_path
):
    metrics = run_test(make(tmp_path / 'test', NO_TEACHER), student)
    # A third of the images are owls; F1 is 1/2 for them, else 0.
    assert metrics['accuracy/top1'] == pytest.approx(100 / 3, abs=1e-3)
    assert metrics['single-label/f1-score'] == pytest.approx(100 / 6, abs=1e-3)


@METRICS.register_module(force=True)
class KeepScores(BaseMetric):
    """Gives the scores of every image, in the order of the files."""

    def process(self, data_batch, data_samples):
        self.results += [
            sample['pred_score'].tolist() for sample in data_samples
        ]

    def compute_metrics(self, results):
        return dict(scores=results)


@pytest.fixture
def scores(make, root, tmp_path):
    """Gives a student and what it says of every image and its mirror image."""
    rng = np.random.RandomState(0)
    files = sorted((root / 'photo').glob('*/*.jpg'))
    # As large as tested, lossless: what remains is the normalisation.
    pixels = rng.randint(0, 256, (len(files), 4, 4, 3), dtype=np.uint8)
    pixels = pixels.repeat(24, 1).repeat(24, 2)
    for file, image in zip(files, pixels):
        Image.fromarray(image).save(file, 'PNG')
    mean = torch.tensor([123.675, 116.28, 103.53])
    std = torch.tensor([58.395, 57.12, 57.375])
    inputs = (torch.tensor(pixels) - mean) / std
    inputs = inputs.permute(0, 3, 1, 2).contiguous()
    model = MODELS.build(make(tmp_path / 'unused').model.student)
    with torch.no_grad():
        # Fresh statistics call all images the same.
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        model.train()
        model(inputs)
        model.eval()
        model.head.layers[-1].fc.weight.mul_(50)
        plain, mirrored = (
            model(x).softmax(1) for x in (inputs, inputs.flip(3))
        )
    path = tmp_path / 'student.pth'
    save_student(model.state_dict(), path)
    return path, plain, mirrored


def test_a_student_is_tested_on_mirror_images_too(make, scores, tmp_path):
    path, plain, mirrored = scores
    found = []
    for tta in (False, True):
        config = make(tmp_path / 'test', NO_TEACHER)
        config.test_evaluator = [dict(type='KeepScores')]
        metrics = run_test(config, path, tta=tta)
        found.append(torch.tensor(metrics['scores']))
    torch.testing.assert_close(found[0], plain, rtol=1e-4, atol=1e-5)
    assert (plain - mirrored).abs().max() > 0.01
    torch.testing.assert_close(
        found[1], (plain + mirrored) / 2, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    'evaluator',
    [
        dict(type='KeepScores'),
        [dict(type='KeepScores')],
        dict(type='Evaluator', metrics=[dict(type='KeepScores')]),
    ],
)
def test_what_is_predicted_of_each_image_is_kept(
    make, scores, tmp_path, evaluator
):
    path, plain, _ = scores
    config = make(tmp_path / 'test', NO_TEACHER)
    config.test_evaluator = evaluator
    kept = tmp_path / 'predictions.pkl'
    metrics = run_test(config, path, predictions=kept)
    assert len(metrics['scores']) == len(plain)
    said = load(kept)
    got = torch.stack([each['pred_score'] for each in said])
    torch.testing.assert_close(got, plain, rtol=1e-4, atol=1e-5)
    labels = [int(each['pred_label']) for each in said]
    assert labels == plain.argmax(1).tolist()


def test_a_config_says_how_to_augment(make, scores, tmp_path):
    path, _, mirrored = scores
    config = make(tmp_path / 'test', NO_TEACHER)
    config.test_evaluator = [dict(type='KeepScores')]
    load, resize, pack = config.test_dataloader.dataset.pipeline
    flip = dict(type='RandomFlip', prob=1.0)
    config.tta_pipeline = [
        *(load, resize),
        dict(type='TestTimeAug', transforms=[[flip], [pack]]),
    ]
    # Or as the model itself.
    for tta in (True, False, True):
        metrics = run_test(config, path, tta=tta)
        found = torch.tensor(metrics['scores'])
        torch.testing.assert_close(found, mirrored, rtol=1e-4, atol=1e-5)
        assert config.model.type == 'mmpretrain.AverageClsScoreTTA'
        assert config.model.module.type == 'ImageClassifier'


def test_augmenting_wants_a_pipeline(make, student, tmp_path):
    config = make(tmp_path / 'test')
    del config.test_dataloader.dataset['pipeline']
    with pytest.raises(UserError, match='--tta: .*dataset.pipeline'):
        run_test(config, student, tta=True)


def test_a_checkpoint_of_a_run_builds_the_teacher(make, student, tmp_path):
    state = torch.load(student, weights_only=True)['state_dict']
    path = tmp_path / 'epoch_1.pth'
    torch.save({f'student.{key}': value for key, value in state.items()}, path)
    with pytest.raises(UserError, match='nothing.pth'):
        run_test(make(tmp_path / 'test', NO_TEACHER), path)
    assert not (tmp_path / 'test').exists()


@pytest.mark.parametrize('damage', ['torn', 'missing key'])
def test_weights_that_cannot_be_tested_leave_no_file(
    make, student, tmp_path, damage
):
    if damage == 'torn':
        student.write_bytes(student.read_bytes()[:1000])
    else:
        content = torch.load(student, weights_only=True)
        content['state_dict'].popitem()
        torch.save(content, student)
    with pytest.raises(UserError, match='student.pth'):
        run_test(make(tmp_path / 'a' / 'test'), student)
    assert not (tmp_path / 'a').exists()


@pytest.mark.slow
def test_weights_that_cannot_be_downloaded_are_named(
    make, tmp_path, monkeypatch
):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    # A port that nobody listens at.
    url = f'http://127.0.0.1:{free_port()}/weights/small-1a2b3c4d.pth'
    options = {
        'model.student.backbone.init_cfg': dict(
            type='Pretrained', checkpoint=url
        )
    }
    with pytest.raises(UserError, match='cannot be downloaded') as error:
        train(make(tmp_path / 'run', options))
    folder = tmp_path / 'torch' / 'hub' / 'checkpoints'
    for word in (f'put small-1a2b3c4d.pth from {url}', f'into {folder}.'):
        assert word in str(error.value)
    assert not (tmp_path / 'run').exists()
    # Put there by hand, it is found.
    model = MODELS.build(make(tmp_path / 'unused').model.student)
    weights = model.backbone.state_dict()
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(weights, folder / 'small-1a2b3c4d.pth')
    config = make(tmp_path / 'run', options, validate=False)
    config.optim_wrapper.optimizer.lr = 0.0
    train(config)
    student = torch.load(tmp_path / 'run' / 'student.pth', weights_only=True)
    name = 'layer0.conv.weight'
    assert torch.equal(
        student['state_dict'][f'backbone.{name}'], weights[name]
    )


RANK_DIGESTS = """
import json, os
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from tests.helpers import digests

@HOOKS.register_module()
class RankDigests(Hook):
    def after_train(self, runner):
        names = dict(runner.model.module.named_parameters())
        values = digests(runner.model.module)
        path = os.path.join(os.environ['DIGESTS'], f'{get_rank()}.json')
        with open(path, 'w') as file:
            json.dump({name: values[name] for name in names}, file)
"""


@pytest.mark.slow
def test_two_processes_finish_a_run(tmp_path):
    root = make_domains(tmp_path / 'data')
    work_dir = tmp_path / 'run'
    # The shipped config with a hook that tells each rank's parameters.
    modules, ranks = tmp_path / 'modules', tmp_path / 'ranks'
    modules.mkdir()
    ranks.mkdir()
    (modules / 'rank_digests.py').write_text(RANK_DIGESTS)
    config = tmp_path / CONFIG.name
    config.write_text(f"""
_base_ = {str(CONFIG)!r}
custom_imports = dict(imports=['rank_digests'])
custom_hooks = [*_base_.custom_hooks, dict(type='RankDigests')]
""")
    arguments = [
        *('--work-dir', work_dir, '--cfg-options'),
        *(*TINY, 'train_cfg.max_epochs=2'),
    ]
    env = environment(
        DATA_ROOT=str(root),
        PORT=str(free_port()),
        CUDA_VISIBLE_DEVICES='',
        DIGESTS=str(ranks),
        **DOMAINS,
    )
    env['PYTHONPATH'] = os.pathsep.join([str(modules), env['PYTHONPATH']])
    # The script takes the python of the path.
    folder = str(Path(sys.executable).parent)
    env['PATH'] = os.pathsep.join([folder, env['PATH']])
    script = REPOSITORY / 'tools' / 'dist_train.sh'
    process = subprocess.Popen(
        ['bash', str(script), str(config), '2', *map(str, arguments)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=1000)
    except subprocess.TimeoutExpired:
        process.terminate()  # torchrun ends its workers then
        raise
    assert process.returncode == 0, output
    results = json.loads((work_dir / 'results.json').read_text())
    assert results['epochs'] == 2
    assert [entry['epoch'] for entry in results['history']] == [2]
    # All images of the target domain, each counted once: 18.
    hits = results['last']['accuracy/top1'] * 18 / 100
    assert hits == pytest.approx(round(hits), abs=1e-3)
    student = torch.load(work_dir / 'student.pth', weights_only=True)
    assert not [k for k in student['state_dict'] if k.startswith('module.')]
    assert all(torch.isfinite(v).all() for v in student['state_dict'].values())
    first, second = (
        json.loads((ranks / f'{rank}.json').read_text()) for rank in (0, 1)
    )
    assert first
    assert first == second


def test_streams_inside_other_datasets_are_trained_on(make, root, tmp_path):
    config = make(tmp_path / 'run')
    loader = config.train_dataloader.dataset
    art, photo = loader.labelled, loader.unlabelled
    balanced = dict(
        type='ClassBalancedDataset', dataset=art, oversample_thr=0.5
    )
    loader.labelled = dict(
        type='ConcatDataset',
        datasets=[dict(type='RepeatDataset', dataset=art, times=2), balanced],
    )
    loader.unlabelled = dict(
        type='mmpretrain.KFoldDataset', dataset=photo, num_splits=2
    )
    assert train(config)
