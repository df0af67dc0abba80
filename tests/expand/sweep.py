"""MMPretrain's own configs with the key: ``python -m tests.expand.sweep``.

Two iterations each, one of each stage of CustomKD, on generated images of
three classes, with the teacher `test_efficientnet` of random weights. The
images are made small; of networks that know their image size that as well.
Prints the table of docs/one_key.md.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Optional

import mmpretrain
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmkd_custom.datasets.wrappers import pipeline_of
from mmkd_custom.engine.config import prepare
from mmkd_custom.engine.config_data import resolve_classes
from mmkd_custom.engine.launch import train
from mmkd_custom.errors import UserError
from mmkd_custom.expand import expand
from mmkd_custom.registry import HOOKS
from tests.expand.configs import folder
from tests.helpers import forget_instances, make_domains

FOLDER = Path(mmpretrain.__file__).parent / '.mim' / 'configs'
TEACHER = dict(type='TimmTeacher', model_name='test_efficientnet')

#: Configs by the edge of the images, one or two a family.
CONFIGS = {
    64: (
        'mobilenet_v3/mobilenet-v3-small_8xb128_in1k',
        'mobilenet_v2/mobilenet-v2_8xb32_in1k',
        'resnet/resnet18_8xb32_in1k',
        'resnet/resnet18_8xb16_cifar10',
        'resnet/resnet50_8xb32-mixup_in1k',
        'resnet/resnet50_8xb32-fp16_in1k',
        'resnet/resnet50_8xb256-rsb-a3-100e_in1k',
        'resnet/resnet50_8xb256-rsb-a1-600e_in1k',
        'resnet/resnet50_8xb8_cub',
        'efficientnet/efficientnet-b0_8xb32_in1k',
        'efficientnet_v2/efficientnetv2-b0_8xb32_in1k',
        'shufflenet_v1/shufflenet-v1-1x_16xb64_in1k',
        'shufflenet_v2/shufflenet-v2-1x_16xb64_in1k',
        'regnet/regnetx-400mf_8xb128_in1k',
        'repvgg/repvgg-A0_8xb32_in1k',
        'mobileone/mobileone-s0_8xb32_in1k',
        'mobilevit/mobilevit-xxsmall_8xb128_in1k',
        'edgenext/edgenext-xxsmall_8xb256_in1k',
        'convnext/convnext-tiny_32xb128_in1k',
        'convnext_v2/convnext-v2-atto_32xb32_in1k',
        'densenet/densenet121_4xb256_in1k',
        'res2net/res2net50-w14-s8_8xb32_in1k',
        'resnest/resnest50_32xb64_in1k',
        'seresnet/seresnet50_8xb32_in1k',
        'resnext/resnext50-32x4d_8xb32_in1k',
        'hrnet/hrnet-w18_4xb32_in1k',
        'cspnet/cspresnet50_8xb32_in1k',
        'van/van-tiny_8xb128_in1k',
        'poolformer/poolformer-s12_32xb128_in1k',
        'riformer/riformer-s12_8xb128_in1k',
        'hornet/hornet-tiny_8xb128_in1k',
        'deit/deit-tiny_4xb256_in1k',
        'deit/deit-tiny-distilled_4xb256_in1k',
        'deit3/deit3-small-p16_64xb64_in1k',
        't2t_vit/t2t-vit-t-14_8xb64_in1k',
        'tnt/tnt-s-p16_16xb64_in1k',
        'xcit/xcit-nano-12-p16_8xb128_in1k',
        'conformer/conformer-tiny-p16_8xb128_in1k',
    ),
    224: (
        'vig/vig-tiny_8xb128_in1k',
        'efficientformer/efficientformer-l1_8xb128_in1k',
        'davit/davit-tiny_4xb256_in1k',
        'swin_transformer/swin-tiny_16xb64_in1k',
        'tinyvit/tinyvit-5m_8xb256_in1k',
        'twins/twins-pcpvt-small_8xb128_in1k',
        'mvit/mvitv2-tiny_8xb256_in1k',
        'levit/levit-128s_8xb256_in1k',
        'inception_v3/inception-v3_8xb32_in1k',
    ),
    # Not classification by one label an image.
    32: (
        'arcface/resnet50-arcface_8xb32_inshop',
        'csra/resnet101-csra_1xb16_voc07-448px',
        'mae/mae_vit-base-p16_8xb512-amp-coslr-300e_in1k',
        'simclr/simclr_resnet50_16xb256-coslr-200e_in1k',
    ),
}
SIZES = {name: size for size, names in CONFIGS.items() for name in names}


@HOOKS.register_module()
class StopAfterTwoEpochs(Hook):
    """Ends a run early: schedules are as long as their config says."""

    def after_train_epoch(self, runner: Runner) -> None:
        """Has the loop stop, as MMEngine's EarlyStoppingHook does."""
        runner.train_loop.stop_training = runner.epoch == 1


def small_config(name: str, root: Path, work_dir: Path) -> Config:
    """Returns a config of MMPretrain's, made small, with the key."""
    config = Config.fromfile(FOLDER / f'{name}.py')
    size = SIZES[name]
    pipeline = pipeline_of(config.train_dataloader.dataset)
    for step in pipeline:
        for option in {'scale', 'crop_size'} & {*step}:
            step[option] = size
    if 'Load' not in str(pipeline[0].type):
        pipeline.insert(0, dict(type='LoadImageFromFile'))
    backbone = config.model.get('backbone') or {}
    known = backbone.get('img_size')
    if known is not None:
        backbone.img_size = size if isinstance(known, int) else (size, size)
    loader = config.train_dataloader
    loader.batch_size, loader.num_workers = 2, 0
    loader.dataset = folder(root, 'art', pipeline)
    config.update(
        val_cfg=None,
        val_dataloader=None,
        val_evaluator=None,
        test_cfg=None,
        test_dataloader=None,
        test_evaluator=None,
        load_from=None,
        work_dir=str(work_dir),
    )
    if 'init_cfg' in backbone:
        # Weights that would be downloaded.
        backbone.init_cfg = None
    # Some warm up for thousands of iterations, of which an epoch has one.
    schedulers = config.param_scheduler
    for one in schedulers if isinstance(schedulers, list) else [schedulers]:
        if not one.get('by_epoch', True):
            config.train_cfg.max_epochs = 10000
    config.custom_hooks = [
        *config.get('custom_hooks', []),
        dict(type='mmkd_custom.StopAfterTwoEpochs'),
    ]
    config.default_hooks.checkpoint = dict(
        type='CheckpointHook', interval=9, save_last=False
    )
    config.distill = dict(
        teacher=TEACHER, unlabelled=str(root / 'photo'), epoch_length=1
    )
    return config


def attempt(name: str, root: Path, work_dir: Path) -> Optional[str]:
    """Trains a config for two iterations.

    Returns:
        str | None: The sentence by which it is refused; None if it trains.
    """
    forget_instances()
    torch.manual_seed(0)
    config = small_config(name, root, work_dir)
    try:
        config = expand(config)
        resolve_classes(config)
        train(prepare(config, config_path=f'{name}.py'))
    except UserError as error:
        return str(error)
    return None


def main() -> None:
    """Prints the table."""
    logging.disable(logging.CRITICAL)
    names = sys.argv[1:] or sorted(SIZES)
    print('| config | |\n|---|---|')
    with tempfile.TemporaryDirectory() as folder:
        root = make_domains(Path(folder, 'data'), per_class=2)
        for number, name in enumerate(names):
            since = time.time()
            try:
                said = attempt(name, root, Path(folder, str(number)))
            # What is no sentence is a defect, and the table shows it.
            except Exception as error:
                said = f'DEFECT {type(error).__name__}: {error}'
            print(f'| `{name}` | {said or "trains"} |', flush=True)
            print(f'{time.time() - since:.1f} s', file=sys.stderr)


if __name__ == '__main__':
    main()
