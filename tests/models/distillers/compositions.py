"""Configurations that combine parts, trained, killed and resumed.

Run by torchrun it trains each, or those named, in several processes:
``python -m torch.distributed.run --nproc_per_node 2
-m tests.models.distillers.compositions FOLDER [NAME ...]``.
"""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.engine.launch import build_runner
from mmkd_custom.models import losses
from tests.cli import REPOSITORY
from tests.helpers import digests, forget_instances
from tests.models.distillers import every_part

TIMM = dict(
    type='TimmTeacher', model_name='test_efficientnet', input_size=None
)
VIT = dict(type='TimmTeacher', model_name='test_vit', input_size=64)
STUDENT_VIT = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch=dict(
            embed_dims=16,
            num_layers=2,
            num_heads=2,
            feedforward_channels=32,
        ),
        img_size=32,
        # As many tokens as test_vit has of an image of 64 pixels.
        patch_size=8,
        out_type='cls_token',
    ),
    head=dict(type='VisionTransformerClsHead', num_classes=3, in_channels=16),
)
KL = dict(type='KLDivergence', temperature=4.0)
LINEAR = dict(type='LinearConnector')

#: The model of each, without its student where that is the config's own.
COMPOSITIONS = {
    'maps_ramp_strong_view_discriminator': dict(
        type='Distiller',
        teacher=dict(TIMM, num_classes=3),
        terms=dict(
            kd=dict(
                loss=KL,
                on='logits',
                weight=dict(type='Ramp', to=1.0, over=0.1),
            ),
            hint=dict(
                loss=dict(type='MSE'),
                on=('student.maps.2', 'teacher.maps.2'),
                connector=dict(type='SpatialConnector'),
            ),
            strong=dict(
                loss=dict(type='KLDivergence'),
                on=('student@strong.logits', 'student.logits'),
                streams='unlabelled',
            ),
            domain=dict(
                loss=dict(type='CrossEntropy'),
                on=('student.feature', 'batch.stream'),
                connector=dict(type='Discriminator', reverse=True),
                weight=0.1,
            ),
        ),
    ),
    'two_teachers': dict(
        type='Distiller',
        student=STUDENT_VIT,
        teachers=dict(mim=VIT, clip=TIMM),
        terms=dict(
            relation=dict(
                loss=dict(type='TokenRelation'),
                on=('student.tokens', 'mim.tokens'),
            ),
            contrast=dict(
                loss=dict(type='SmoothL1'),
                on=('student.feature', 'clip.feature'),
                connector=LINEAR,
            ),
        ),
    ),
    'customkd_with_dkd_and_a_hint': dict(
        type='CustomKD',
        teacher=TIMM,
        general_weight=20.0,
        specific_weight=5.0,
        terms=dict(
            dkd=dict(
                loss=dict(type='DKD'),
                on=('student.logits', 'teacher.more.customized_logits'),
            ),
            hint=dict(
                loss=dict(type='SmoothL1'),
                on=('student.maps.-1', 'teacher.maps.-1'),
                connector=dict(type='SpatialConnector'),
            ),
        ),
    ),
    'losses_that_remember': dict(
        type='CustomKD',
        teacher=dict(TIMM, num_classes=3),
        feature_loss=dict(type='MSE', relative=True),
        terms=dict(
            directions=dict(loss=dict(type='SpecMatch')),
            queue=dict(
                loss=dict(type='SimilarityKL', size=10), connector=LINEAR
            ),
            confident=dict(
                loss=dict(type='ConfidentCrossEntropy', momentum=0.5),
                on='logits',
                streams='unlabelled',
            ),
        ),
    ),
    'propagated_labels': dict(
        type='CustomKD',
        teacher=TIMM,
        customize_on='all',
        networks=dict(propagated=dict(type='PropagatedLabels', neighbours=3)),
        terms=dict(
            propagated=dict(
                loss=dict(type='CrossEntropy'),
                on=('student.logits', 'propagated.more.labels'),
                streams='unlabelled',
            ),
            target=dict(
                loss=dict(type='CrossEntropy'),
                on=(
                    'teacher.more.customized_logits',
                    'propagated.more.labels',
                ),
                streams='unlabelled',
                stage='customization',
            ),
        ),
    ),
    'averaged_student': dict(
        type='Distiller',
        networks=dict(ema=dict(type='AveragedStudent', momentum=0.9)),
        terms=dict(
            mean=dict(
                loss=dict(type='KLDivergence', temperature=1.0),
                on=('student@strong.logits', 'ema.logits'),
                streams='unlabelled',
            )
        ),
    ),
    'every_part': every_part.EVERY_PART,
}


def _terms_of_every_loss() -> dict:
    """A term for each loss, and each of vectors and tokens it compares."""
    terms = {}
    for name in losses.__all__:
        loss = getattr(losses, name)
        if issubclass(loss, losses.CrossEntropy):
            terms[name] = dict(on=('student.logits', 'batch.targets'))
        elif loss is losses.CORAL:
            terms[name] = dict(on=('student.feature', 'batch.stream'))
        elif '.predictions.' in loss.__module__:
            terms[name] = dict(on=('student.logits', 'clip.logits'))
        elif loss is not losses.Loss and 'vector' in loss.kinds:
            on = 'student.feature', 'clip.feature'
            terms[name] = dict(on=on, connector=LINEAR)
        if loss is not losses.Loss and 'tokens' in loss.kinds:
            on = 'student.tokens', 'mim.tokens'
            terms[f'{name}_of_tokens'] = dict(on=on, connector=LINEAR)
    for name, term in terms.items():
        term['loss'] = dict(type=name.partition('_')[0])
    return terms


#: As many as there are, so that a new one is in it.
EVERY_LOSS = _terms_of_every_loss()
COMPOSITIONS['every_loss'] = dict(
    type='Distiller',
    student=STUDENT_VIT,
    teachers=dict(mim=VIT, clip=dict(TIMM, num_classes=3)),
    terms=EVERY_LOSS,
)
#: Hooks that some need.
HOOKS = {
    'losses_that_remember': [
        dict(type='StandardizeTeacherHook', rotate=True),
        dict(type='GradientShareHook', interval=1),
    ],
    'every_part': every_part.HOOKS,
}


def config_of(name: str, work_dir: Path, **options: object) -> Config:
    """The shipped domain-folder config with another model, made small."""
    path = REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder.py'
    config = load_config(
        path,
        {
            'model.teacher.teacher.checkpoint': None,
            'model.teacher.teacher.model_name': 'test_efficientnet',
            'train_dataloader.batch_size': 4,
            'train_dataloader.num_workers': 0,
            'train_dataloader.sampler.labelled': 2,
            'train_dataloader.sampler.unlabelled': 2,
            'train_dataloader.sampler.epoch_length': 2,
            'train_cfg.max_epochs': 2,
            'default_hooks.checkpoint.max_keep_ckpts': -1,
        },
    )
    own = config.model
    model = copy.deepcopy(COMPOSITIONS[name])
    model.setdefault('student', own.student)
    config.model = dict(model, input_size=32)
    config.custom_hooks.extend(HOOKS.get(name, []))
    dataset = config.train_dataloader.dataset
    for stream in (dataset.labelled, dataset.unlabelled):
        stream.pipeline = _pipeline()
    dataset.pipelines = dict(strong=_pipeline(dict(type='ColorJitter')))
    if name == 'every_part':
        every_part.keep_labels(config, work_dir)
    return prepare(
        config,
        config_path=path,
        work_dir=str(work_dir),
        validate=False,
        **options,
    )


def _pipeline(*more: dict) -> list:
    return [
        dict(type='LoadImageFromFile'),
        dict(type='RandomResizedCrop', scale=32),
        *more,
        dict(type='PackInputs'),
    ]


def train(name: str, work_dir: Path, **options: object) -> Runner:
    """Trains two epochs of two iterations."""
    forget_instances()
    runner = build_runner(config_of(name, work_dir, **options))
    runner.train()
    return runner


def state(runner: Runner) -> dict:
    """SHA-256 of every tensor that training leaves."""
    model = getattr(runner.model, 'module', runner.model)
    found = digests(model)
    if is_main_process():
        return found
    # Running statistics are each rank's own; a checkpoint has rank 0's.
    names = dict(model.named_parameters())
    return {name: value for name, value in found.items() if name in names}


def train_and_resume(name: str, folder: Path, **options: object) -> Runner:
    """Trains; resumes from the middle; expects the same, bit for bit."""
    whole = train(name, folder / 'whole', **options)
    middle = folder / 'whole' / 'epoch_1.pth'
    second = train(name, folder / 'resumed', resume=str(middle), **options)
    assert second.iter == whole.iter
    assert state(second) == state(whole)
    return whole


def main() -> None:
    folder = Path(sys.argv[1])
    os.environ.update(
        DATA_ROOT=str(folder / 'data'), SOURCE='art', TARGET='photo', SEED='0'
    )
    for name in sys.argv[2:] or COMPOSITIONS:
        train_and_resume(name, folder / name, launcher='pytorch')
        print(f'{name}: resumed bit for bit', flush=True)


if __name__ == '__main__':
    main()
