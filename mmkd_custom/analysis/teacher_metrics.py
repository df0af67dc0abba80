"""What the teacher scores where the student is evaluated."""

from __future__ import annotations

from typing import Any, Dict

import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ..datasets.two_stream.views import seeded_rng
from ..datasets.wrappers import with_pipeline
from ..engine.teacher_pass import distiller_of
from ..engine.unwrap import unwrapped
from ..errors import UserError
from ..evaluation.constant import without_dumps
from ..evaluation.results import TEACHER_METRICS, numbers
from ..models.outputs import FEATURE, LOGITS, Outputs
from ..models.teachers.wrappers.base import check_classes
from ..registry import DATASETS, HOOKS
from ..stages import TEACHER
from ..utils.progress import progress
from .asking import ask_live


@HOOKS.register_module()
class TeacherMetricsHook(Hook):
    """Evaluates the teacher on the student's validation images, once.

    After training, by the run's own metrics; ``results.json`` has them as
    ``teacher``, and ``tools/benchmark.py`` a table of both, side by side.
    Where the dataset makes the teacher's images by a pipeline of its own, that
    makes these too. Their labels are read for this number alone, and neither
    weights, caches nor random numbers of the run are touched.

    Args:
        network (str): Who answers: a teacher with a head for the task, or a
            network on a teacher's feature, such as a ``LinearProbe``.
            Defaults to 'teacher'.
        batch_size (int): Images seen at once. Defaults to 64.
    """

    # As SelectionHook: before ResultsHook (LOW) writes.
    priority = 'BELOW_NORMAL'

    def __init__(self, network: str = TEACHER, batch_size: int = 64) -> None:
        self.network = network
        self.batch_size = batch_size

    def before_train(self, runner: Runner) -> None:
        """Looks at all that will be needed, before hours go into it.

        Raises:
            UserError: If nobody of that name gives logits of the classes, or
                nothing is evaluated.
        """
        name = type(self).__name__
        model = distiller_of(runner, name)
        known = {**getattr(model, 'teachers', {}), **_owned(model)}
        if self.network not in known:
            raise UserError(
                f'{name}.network: expected one of '
                f'{", ".join(known) or "no teacher"}, got {self.network!r}.'
            )
        if runner.val_loop is None:
            raise UserError(f'{name}: expected a val_evaluator, got none.')
        who = known[self.network]
        classes = (model.student_view.num_classes,)
        shape = who.shapes.get(LOGITS)
        if shape is None or shape.sizes != classes:
            raise UserError(
                f'{name}.network: expected logits of {classes[0]} classes of '
                f'{self.network!r}, got {shape or "none"}.'
            )
        if self.network in model.teachers:
            check_classes(who, runner.train_dataloader.dataset.CLASSES)

    @torch.no_grad()
    def after_train(self, runner: Runner) -> None:
        """Measures, and leaves it to :class:`ResultsHook`."""
        model = unwrapped(runner)
        training = model.training
        model.eval()
        with seeded_rng(TEACHER_METRICS):
            found = self._metrics(runner, model)
        model.train(training)
        runner.message_hub.update_info(TEACHER_METRICS, found)
        said = ', '.join(f'{key} {value:.2f}' for key, value in found.items())
        runner.logger.info(f'The teacher, on the same images: {said}')

    def _metrics(self, runner: Runner, model: Any) -> Dict[str, float]:
        evaluator = without_dumps(runner.val_loop.evaluator)
        loader, dataset = runner.val_loop.dataloader, _images(runner)
        indices = range(get_rank(), len(dataset), get_world_size())
        batches = DataLoader(
            dataset,
            self.batch_size,
            sampler=indices,
            num_workers=loader.num_workers,
            collate_fn=pseudo_collate,
        )
        with progress('asking the teacher', len(indices), 'images') as bar:
            for data in batches:
                batch = model.batch(**model.data_preprocessor(data))
                for sample, logits in zip(
                    batch.samples, self._ask(model, batch).logits
                ):
                    sample.set_pred_score(logits.softmax(0))
                    sample.set_pred_label(logits.argmax())
                evaluator.process(batch.samples)
                bar.advance(len(batch))
        return numbers(evaluator.evaluate(len(dataset)))

    def _ask(self, model: Any, batch: Any) -> Outputs:
        if self.network in model.teachers:
            return ask_live(model.teachers[self.network], batch, (LOGITS,))
        for name, teacher in model.teachers.items():
            batch.outputs[name] = ask_live(teacher, batch, (FEATURE,))
        return _owned(model)[self.network].ask(batch, (LOGITS,))


def _owned(model: Any) -> Dict[str, Any]:
    return dict(getattr(model, 'networks', {}).items())


def _images(runner: Runner) -> Any:
    """Returns the images that are evaluated, as the teacher sees them."""
    given = runner.cfg.get('val_dataloader', {}).get('dataset')
    train = runner.cfg.train_dataloader.dataset
    own = (train.get('pipelines') or {}).get(TEACHER)
    if own is None or given is None:
        return runner.val_loop.dataloader.dataset
    scope = runner.cfg.get('default_scope', 'mmkd_custom')
    with DefaultScope.overwrite_default_scope(scope):
        return DATASETS.build(with_pipeline(given.to_dict(), own))
