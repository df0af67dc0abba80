"""Testing: which weights, which images of an image, what is kept."""

import numpy as np
import pytest
import torch
from mmengine import load
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS
from PIL import Image

from mmkd_custom.engine.launch import test as run_test
from mmkd_custom.errors import UserError
from mmkd_custom.export.checkpoint import save_student
from mmkd_custom.registry import MODELS

NO_TEACHER = {'model.teacher.teacher.checkpoint': 'nothing.pth'}


@pytest.fixture
def student(small_config, tmp_path):
    """A plain student that calls everything an owl."""
    config = small_config('unused')
    model = MODELS.build(config.model.student)
    fc = model.head.layers[-1].fc
    torch.nn.init.zeros_(fc.weight)
    fc.bias.data = torch.tensor([0.0, 1.0, 2.0])
    path = tmp_path / 'student.pth'
    save_student(model.state_dict(), path)
    return path


def test_a_plain_student_is_tested_without_its_teacher(small_config, student):
    metrics = run_test(small_config('test', **NO_TEACHER), student)
    # A third of the images are owls; F1 is 1/2 for them, else 0.
    assert metrics['accuracy/top1'] == pytest.approx(100 / 3, abs=1e-3)
    assert metrics['single-label/f1-score'] == pytest.approx(100 / 6, abs=1e-3)


@METRICS.register_module(force=True)
class KeepScores(BaseMetric):
    """Returns the scores of every image, in the order of the files."""

    def process(self, data_batch, data_samples):
        self.results += [
            sample['pred_score'].tolist() for sample in data_samples
        ]

    def compute_metrics(self, results):
        return dict(scores=results)


@pytest.fixture
def scores(small_config, tmp_path):
    """A student and what it says of every image and its mirror image."""
    rng = np.random.RandomState(0)
    files = sorted((tmp_path / 'data' / 'photo').glob('*/*.jpg'))
    # As large as tested, lossless: what remains is the normalisation.
    pixels = rng.randint(0, 256, (len(files), 4, 4, 3), dtype=np.uint8)
    pixels = pixels.repeat(24, 1).repeat(24, 2)
    for file, image in zip(files, pixels):
        Image.fromarray(image).save(file, 'PNG')
    mean = torch.tensor([123.675, 116.28, 103.53])
    std = torch.tensor([58.395, 57.12, 57.375])
    inputs = (torch.tensor(pixels) - mean) / std
    inputs = inputs.permute(0, 3, 1, 2).contiguous()
    model = MODELS.build(small_config('unused').model.student)
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


def test_a_student_is_tested_on_mirror_images_too(small_config, scores):
    path, plain, mirrored = scores
    found = []
    for tta in (False, True):
        config = small_config('test', **NO_TEACHER)
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
def test_predictions_are_kept_in_the_order_of_the_dataset(
    small_config, scores, tmp_path, evaluator
):
    path, plain, _ = scores
    config = small_config('test', **NO_TEACHER)
    config.test_evaluator = evaluator
    kept = tmp_path / 'predictions.pkl'
    metrics = run_test(config, path, predictions=kept)
    assert len(metrics['scores']) == len(plain)
    said = load(kept)
    got = torch.stack([each['pred_score'] for each in said])
    torch.testing.assert_close(got, plain, rtol=1e-4, atol=1e-5)
    labels = [int(each['pred_label']) for each in said]
    assert labels == plain.argmax(1).tolist()


def test_config_decides_how_to_augment(small_config, scores):
    path, _, mirrored = scores
    config = small_config('test', **NO_TEACHER)
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


def test_augmenting_needs_a_pipeline(small_config, student):
    config = small_config('test')
    del config.test_dataloader.dataset['pipeline']
    with pytest.raises(UserError, match='--tta: .*dataset.pipeline'):
        run_test(config, student, tta=True)


def test_a_checkpoint_of_a_run_builds_the_teacher(
    small_config, student, tmp_path
):
    state = torch.load(student, weights_only=True)['state_dict']
    path = tmp_path / 'epoch_1.pth'
    torch.save({f'student.{key}': value for key, value in state.items()}, path)
    with pytest.raises(UserError, match='nothing.pth'):
        run_test(small_config('test', **NO_TEACHER), path)


@pytest.mark.parametrize('damage', ['torn', 'missing key'])
def test_damaged_or_other_weights_are_named(small_config, student, damage):
    if damage == 'torn':
        student.write_bytes(student.read_bytes()[:1000])
    else:
        content = torch.load(student, weights_only=True)
        content['state_dict'].popitem()
        torch.save(content, student)
    with pytest.raises(UserError, match='student.pth'):
        run_test(small_config('test'), student)
