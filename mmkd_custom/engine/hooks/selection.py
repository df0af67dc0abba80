"""Measures, without a label of the target, what a run may be chosen by."""

from __future__ import annotations

import copy
from typing import Any, Dict, Optional, Sequence

import torch
import torch.nn as nn
from mmengine.dist import all_reduce, broadcast, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ...datasets import SampleKey, TwoStreamDataset
from ...datasets.two_stream.streams import check_classes, shares_images
from ...datasets.two_stream.views import kept_rng, seeded_rng
from ...datasets.wrappers import leaves
from ...errors import UserError
from ...evaluation.constant import without_dumps
from ...evaluation.results import numbers
from ...export.checkpoint import student_state_dict
from ...models.networks import OwnedNetwork
from ...models.outputs import LOGITS
from ...registry import DATASETS, HOOKS
from ...stages import STUDENT
from ..unwrap import saved_weights, unwrapped

#: Key of the message hub, and of ``results.json``.
SELECTION = 'selection'
#: The view that the evaluation's pipeline makes of an unlabelled image.
_SEEN = 'evaluation'


@HOOKS.register_module()
class SelectionHook(Hook):
    """Measures a run by what it was given; docs/methods.md has the rule.

    After training, of the student that is left:

    - ``agreement``: on how many of the unlabelled training images, in
      percent, its top-1 answer is that of another network, such as labels
      that were propagated. The student sees each as an evaluation does,
      without an evaluation as view 0 of its training.
    - ``held_out/<metric>``: the run's own metrics on labelled images that
      were not trained on.

    What there is no network or no data for is left out. Training stays as it
    is, bit for bit.

    Args:
        network (str): Name of the network that the distiller owns and that
            answers. It is asked about samples and sees no image. Defaults to
            'propagated'; a model without it has no ``agreement``.
        held_out (dict | BaseDataset, optional): Labelled images. Defaults to
            None.
        batch_size (int): Images that the student sees at once. Defaults to
            128.
    """

    # After hooks that finish the student, before ResultsHook (LOW) writes.
    priority = 'BELOW_NORMAL'

    def __init__(
        self,
        network: str = 'propagated',
        held_out: Optional[Any] = None,
        batch_size: int = 128,
    ) -> None:
        self.network = network
        self.held_out = held_out
        self.batch_size = batch_size

    def before_train(self, runner: Runner) -> None:
        """Looks at all that will be needed, before hours go into it.

        Raises:
            UserError: If the network needs images or other networks, the
                training data has no unlabelled images, or what is held out
                is trained on, has other classes or nothing to be evaluated by.
        """
        model, name = unwrapped(runner), type(self).__name__
        dataset = runner.train_dataloader.dataset
        network = _owned(model, self.network)
        if network is not None:
            if network.view or network.of or LOGITS not in network.shapes:
                raise UserError(
                    f'{name}.network: expected one that knows logits of each '
                    f'sample, such as SoftLabels, got {self.network!r}, a '
                    f'{type(network).__name__}.'
                )
            count = getattr(dataset, 'num_unlabelled', 0)
            if not isinstance(dataset, TwoStreamDataset) or not count:
                raise UserError(
                    f'{name}: expected unlabelled images to compare answers '
                    'on in train_dataloader.dataset, got none.'
                )
        if isinstance(self.held_out, dict):
            with kept_rng():
                self.held_out = DATASETS.build(self.held_out)
        if self.held_out is not None:
            if runner.val_loop is None:
                raise UserError(
                    f'{name}.held_out: expected a val_evaluator to measure '
                    'it by, got none.'
                )
            places = ('the training data', f'{name}.held_out')
            check_classes(dataset, self.held_out, places)
            labelled = getattr(dataset, 'labelled', dataset)
            if shares_images(self.held_out, labelled):
                raise UserError(
                    f'{name}.held_out: expected images that are not trained '
                    'on with their labels, got some that are.'
                )

    def after_train(self, runner: Runner) -> None:
        """Measures, and leaves it to :class:`ResultsHook`."""
        model = unwrapped(runner)
        # It draws nothing of what a checkpoint may still be made of.
        with seeded_rng(SELECTION), torch.no_grad():
            student = _left_student(runner)
            found = {}
            if _owned(model, self.network) is not None:
                found['agreement'] = self._agreement(runner, model, student)
            if self.held_out is not None:
                metrics = self._held_out_metrics(runner, model, student)
                found.update(
                    {f'held_out/{key}': v for key, v in metrics.items()}
                )
        runner.message_hub.update_info(SELECTION, found)
        said = ', '.join(f'{key} {value:.2f}' for key, value in found.items())
        runner.logger.info(
            'To choose by, without a label of the target: '
            + (said or f'nothing; the model owns no {self.network!r}')
        )

    def _agreement(
        self, runner: Runner, model: nn.Module, student: nn.Module
    ) -> float:
        dataset, view = runner.train_dataloader.dataset, STUDENT
        if runner.val_loop is not None:
            seen = leaves(runner.val_loop.dataloader.dataset)[0].pipeline
            dataset, view = copy.copy(dataset), _SEEN
            dataset.pipelines = {**dataset.pipelines, _SEEN: seen}
        first = dataset.num_labelled
        keys = [
            SampleKey(index, 0, (view,))
            for index in range(first, first + dataset.num_unlabelled)
        ]
        network = _owned(model, self.network)
        # Right ones, and all.
        counts = torch.zeros(2, dtype=torch.long)
        for data in self._batches(runner.train_dataloader, dataset, keys):
            batch = model.batch(**model.data_preprocessor(data))
            answers = network.ask(batch, (LOGITS,)).logits.argmax(1)
            images = batch.views[view]
            said = student(images, batch.samples, mode='predict')
            guesses = torch.cat([sample.pred_label for sample in said])
            counts += torch.tensor([(guesses == answers).sum(), len(guesses)])
        counts = counts.to(next(student.parameters()).device)
        all_reduce(counts)
        return 100 * counts[0].item() / counts[1].item()

    def _held_out_metrics(
        self, runner: Runner, model: nn.Module, student: nn.Module
    ) -> Dict[str, float]:
        evaluator = without_dumps(runner.val_loop.evaluator)
        loader = runner.val_loop.dataloader
        indices = range(len(self.held_out))
        for data in self._batches(loader, self.held_out, indices):
            data = model.data_preprocessor(data)
            said = student(
                data['inputs'], data['data_samples'], mode='predict'
            )
            evaluator.process(said)
        return numbers(evaluator.evaluate(len(indices)))

    def _batches(
        self, loader: DataLoader, dataset: Any, keys: Sequence
    ) -> DataLoader:
        """Returns this rank's batches, loaded as another loader does."""
        return DataLoader(
            dataset,
            self.batch_size,
            sampler=keys[get_rank() :: get_world_size()],
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
        )


def _owned(model: nn.Module, name: str) -> Optional[OwnedNetwork]:
    networks = getattr(model, 'networks', {})
    return networks[name] if name in networks else None


def _left_student(runner: Runner) -> nn.Module:
    """Returns the student with the weights of ``student.pth``, in eval."""
    model = unwrapped(runner)
    weights = student_state_dict(saved_weights(runner))
    # Ranks have BatchNorm statistics of their own; the main one's are saved.
    weights = {key: value.clone() for key, value in weights.items()}
    for value in weights.values():
        broadcast(value)
    student = copy.deepcopy(getattr(model, 'student', model))
    student.load_state_dict(weights)
    return student.eval()
