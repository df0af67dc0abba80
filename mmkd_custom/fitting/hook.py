"""Propagates labels over all training images before a run's first step."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Dict, Optional

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..datasets import SampleKey, TwoStreamDataset
from ..datasets.two_stream.streams import shares_images
from ..engine.teacher_pass import distiller_of, teacher_features
from ..engine.together import by_rank_0
from ..errors import UserError, naming_files
from ..models.batch import hard_labels
from ..models.distillers import BaseDistiller
from ..models.networks import PropagatedLabels
from ..registry import HOOKS
from .propagation import propagate_labels


@HOOKS.register_module()
class PropagateLabelsHook(Hook):
    """Fills every :class:`~mmkd_custom.models.networks.PropagatedLabels`.

    The teacher is asked about every training image, or its cache is read;
    rank 0 propagates, and every rank has the same labels. They are kept in
    ``<network>_labels.safetensors`` of the work directory, or in the file
    that the network names, so a resumed run goes on with the same. Does
    nothing for a model without such a network.

    Args:
        batch_size (int): Images the teacher sees at once. Defaults to 64.
    """

    # After TeacherCacheHook (20) and before StandardizeTeacherHook (HIGH,
    # 30), because features are standardised in a way of their own here.
    priority = 25

    def __init__(self, batch_size: int = 64) -> None:
        self.batch_size = batch_size

    def before_train(self, runner: Runner) -> None:
        """Propagates, or reads what an earlier start has propagated.

        Raises:
            UserError: If there is nothing to propagate, or a file that a
                network names holds other labels.
        """
        model = distiller_of(runner, type(self).__name__)
        for name, network in {} if model is None else model.networks.items():
            if isinstance(network, PropagatedLabels):
                self._fill(runner, model, name, network)

    def _fill(
        self,
        runner: Runner,
        model: BaseDistiller,
        name: str,
        network: PropagatedLabels,
    ) -> None:
        named = network.file is not None
        default = Path(runner.work_dir, f'{name}_labels.safetensors')
        file = Path(network.file) if named else default
        key = by_rank_0(lambda: _key(runner, model, network))
        found = by_rank_0(lambda: _read(file, key, named))
        if found is None:
            features = teacher_features(
                runner, model, network.teacher, self.batch_size
            )
            found = by_rank_0(lambda: _propagate(runner, network, features))
            if is_main_process():
                file.parent.mkdir(parents=True, exist_ok=True)
                with naming_files():
                    save_file(found, str(file), {'key': key})
        runner.logger.info(f'Propagated labels of {name}: {file}')
        network.fill(found['labels'], found['probe'], found['agree'].bool())


def _propagate(
    runner: Runner, network: PropagatedLabels, features: torch.Tensor
) -> Dict[str, torch.Tensor]:
    dataset = runner.train_dataloader.dataset
    if not dataset.num_labelled or not dataset.num_unlabelled:
        raise UserError(
            'PropagatedLabels: expected labelled and unlabelled images, got '
            f'{dataset.num_labelled} and {dataset.num_unlabelled}.'
        )
    keys = [SampleKey(i, 0, ()) for i in range(dataset.num_labelled)]
    labels = hard_labels([dataset[key]['data_samples'] for key in keys])
    targets = torch.full((len(dataset),), -1)
    targets[: len(labels)] = labels.cpu()
    found = propagate_labels(
        features,
        targets,
        _groups(dataset, network.standardize),
        network.shapes['logits'].width,
        seed=runner.seed or 0,
        **network.options,
    )
    runner.logger.info(f'Propagation: {found.report}')
    return dict(
        labels=found.labels,
        probe=found.probe,
        agree=found.agree.to(torch.uint8),
    )


def _groups(dataset: TwoStreamDataset, standardize: str) -> torch.Tensor:
    """Returns which samples are standardised together, (N,)."""
    groups = torch.zeros(len(dataset), dtype=torch.long)
    together = standardize == 'all' or (
        standardize == 'auto'
        and (
            dataset.exclude_labelled
            or shares_images(dataset.unlabelled, dataset.labelled)
        )
    )
    if not together:
        unlabelled = dataset.num_labelled + dataset.num_unlabelled
        groups[dataset.num_labelled :] = 1
        groups[unlabelled:] = 2
    return groups


def _key(
    runner: Runner, model: BaseDistiller, network: PropagatedLabels
) -> str:
    """Returns a digest of all that the labels depend on."""
    dataset = runner.train_dataloader.dataset
    depends = (
        dataset.samples_sha256(),
        dataset.split_sha256,
        dataset.seed,
        runner.seed,
        sorted(network.options.items()),
        network.standardize,
        network.teacher,
        model.teachers[network.teacher].digest(),
    )
    return hashlib.sha256(repr(depends).encode()).hexdigest()


def _read(
    file: Path, key: str, named: bool
) -> Optional[Dict[str, torch.Tensor]]:
    """Returns what a file holds, None if it is not there or another's."""
    if not file.is_file():
        return None
    try:
        with naming_files(), safe_open(str(file), framework='pt') as opened:
            if (opened.metadata() or {}).get('key') == key:
                return {
                    name: opened.get_tensor(name) for name in opened.keys()
                }
    except (OSError, SafetensorError) as error:
        raise UserError(
            f'{file}: expected propagated labels ({error}); delete it.'
        ) from error
    if named:
        raise UserError(
            f'{file}: expected labels that were propagated for this teacher, '
            'these images and these options, got those of another run; name '
            'another file, or delete it.'
        )
    return None
