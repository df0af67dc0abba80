"""Propagates labels over all training images before a run's first step."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Dict, Optional

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ..cache.manifest import MADE_WITH
from ..cache.opening import manifest_of
from ..datasets import SampleKey, TwoStreamDataset
from ..datasets.two_stream.streams import shares_images
from ..engine.teacher_pass import distiller_of, teacher_features
from ..engine.together import by_rank_0
from ..engine.unwrap import unwrapped
from ..errors import UserError, naming_files
from ..models.batch import hard_labels
from ..models.distillers import BaseDistiller, Distiller, TrustedWeight
from ..models.networks import PropagatedLabels
from ..models.options import checked_size
from ..registry import HOOKS
from ..utils.files import write_atomic
from .propagation import propagate_labels


@HOOKS.register_module()
class PropagateLabelsHook(Hook):
    """Fills every :class:`~mmkd_custom.models.networks.PropagatedLabels`.

    The teacher is asked about every training image, or its cache is read;
    rank 0 propagates, and every rank has the same labels. They are kept in
    ``<network>_labels.safetensors`` of the work directory, or in the file
    that the network names, so a resumed run goes on with the same. Terms
    with a ``TrustedWeight`` are told what the probe is worth. Does nothing
    for a model without such a network.

    Args:
        batch_size (int): Images the teacher sees at once. Defaults to 64.

    Raises:
        UserError: If ``batch_size`` is not an integer > 0.
    """

    # After TeacherCacheHook (20) and before StandardizeTeacherHook (HIGH,
    # 30), because features are standardised in a way of their own here.
    priority = 25

    def __init__(self, batch_size: int = 64) -> None:
        self.batch_size = checked_size(
            f'{type(self).__name__}.batch_size', batch_size
        )

    def before_train(self, runner: Runner) -> None:
        """Propagates, or reads what an earlier start has propagated.

        Raises:
            UserError: If there is nothing to propagate, or a file that a
                network names holds other labels.
        """
        model = unwrapped(runner)
        if not isinstance(model, BaseDistiller):
            return
        for name, network in model.networks.items():
            if isinstance(network, PropagatedLabels):
                # What other models train on is none of this hook's business.
                distiller_of(runner, type(self).__name__)
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
            by_rank_0(lambda: _write(file, key, found))
        runner.logger.info(f'Propagated labels of {name}: {file}')
        network.fill(
            found['labels'],
            found['probe'],
            found['agree'].bool(),
            float(found['kappa']),
        )
        known = f'is {network.kappa:.3f}'
        if math.isnan(network.kappa):
            known = 'is unknown, because none could be held out'
        for term, weight in tell_kappa(model, name, network.kappa).items():
            runner.logger.info(
                f'Term {term}: kappa of the probe of {name} on held-out '
                f'labelled images {known}, expected {weight.kappa}: weight '
                f'{weight(0.0)}'
            )


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
        class_mass=_alike(dataset)
        if network.class_mass == 'auto'
        else network.class_mass,
        **network.options,
    )
    runner.logger.info(f'Propagation: {found.report}')
    kappa = found.report['probe_kappa']
    return dict(
        labels=found.labels,
        probe=found.probe,
        agree=found.agree.to(torch.uint8),
        kappa=torch.tensor(float('nan') if kappa is None else kappa),
    )


def tell_kappa(
    model: BaseDistiller, network: str, kappa: float
) -> Dict[str, TrustedWeight]:
    """Tells the terms that wait for it what a probe is worth.

    Args:
        model (BaseDistiller): Whose terms they are.
        network (str): Name of the propagated labels.
        kappa (float): That of their probe; NaN if nothing is known.

    Returns:
        dict[str, TrustedWeight]: The weights that were told, by term.
    """
    told: Dict[str, TrustedWeight] = {}
    if not isinstance(model, Distiller):
        return told
    for stage in model.schedule.stages:
        for name, term in model.terms(stage.name).items():
            weight = term.weight
            if isinstance(weight, TrustedWeight) and weight.of == network:
                weight.found = kappa
                told[name] = weight
    return told


def _groups(dataset: TwoStreamDataset, standardize: str) -> torch.Tensor:
    """Returns which samples are standardised together, (N,)."""
    groups = torch.zeros(len(dataset), dtype=torch.long)
    if standardize == 'stream' or (
        standardize == 'auto' and not _alike(dataset)
    ):
        unlabelled = dataset.num_labelled + dataset.num_unlabelled
        groups[dataset.num_labelled :] = 1
        groups[unlabelled:] = 2
    return groups


def _alike(dataset: TwoStreamDataset) -> bool:
    """Returns whether the labelled images are some of the unlabelled ones."""
    return dataset.exclude_labelled or shares_images(
        dataset.unlabelled, dataset.labelled
    )


def _key(
    runner: Runner, model: BaseDistiller, network: PropagatedLabels
) -> str:
    """Returns a digest of all that the labels depend on."""
    dataset = runner.train_dataloader.dataset
    features = manifest_of(runner, model, network.teacher)
    # Who asked the teacher makes no other labels.
    del features[MADE_WITH]
    depends = (
        json.dumps(features, sort_keys=True),
        model.teachers[network.teacher].kept_views,
        dataset.split_sha256,
        dataset.exclude_labelled,
        runner.seed,
        sorted(network.options.items()),
        network.standardize,
        network.class_mass,
        # What is kept: files without it are others.
        'kappa',
    )
    return hashlib.sha256(repr(depends).encode()).hexdigest()


def _write(file: Path, key: str, found: Dict[str, torch.Tensor]) -> None:
    with naming_files():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, save(found, {'key': key}))


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
            'these images, this seed and these options, got those of another '
            'run; name another file, or delete it.'
        )
    return None
