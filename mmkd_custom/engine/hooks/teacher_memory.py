"""Asks the teacher once about every fixed view, before training."""

from __future__ import annotations

from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...errors import UserError
from ...models.teachers import FEATURE, LOGITS, TeacherMemory
from ...registry import HOOKS
from ..teacher_pass import ask_about, distiller_of


@HOOKS.register_module()
class TeacherMemoryHook(Hook):
    """Fills the distiller's :class:`TeacherMemory` before training.

    The sampler must cycle through a fixed number of views (``num_views``). A
    resumed run fills the memory again with the same features, bit for bit.
    Does nothing for a model without a teacher.

    Args:
        batch_size (int): Images the teacher sees at once. Defaults to 64.
        max_gigabytes (float): Largest memory allowed. Defaults to 4.0.
    """

    # After the stages are set up and the feature is standardised, before
    # anything trains.
    priority = 'ABOVE_NORMAL'

    def __init__(
        self, batch_size: int = 64, max_gigabytes: float = 4.0
    ) -> None:
        self.batch_size = batch_size
        self.max_gigabytes = max_gigabytes

    def before_train(self, runner: Runner) -> None:
        """Fills the memory.

        Raises:
            UserError: If views are not fixed, or it would be too large.
        """
        model = distiller_of(runner, type(self).__name__)
        if model is None:
            return
        loader = runner.train_dataloader
        dataset = loader.dataset
        sampler = getattr(loader.batch_sampler, 'sampler', None)
        views = getattr(sampler, 'num_views', None)
        if views is None:
            raise UserError(
                "TeacherMemoryHook: the teacher's outputs can be kept for a "
                'fixed number of views only; set train_dataloader.sampler.'
                'num_views of a TwoStreamSampler.'
            )
        dims = dict(
            feature=model.teacher.feature_dim,
            logits=model.teacher.num_classes,
        )
        if not set(model.teacher_wants) <= dims.keys():
            raise UserError(
                'TeacherMemoryHook: the distiller asks the teacher for '
                f'{", ".join(model.teacher_wants)}, but only feature and '
                'logits fit into memory; drop the hook.'
            )
        dims = {name: dims[name] for name in model.teacher_wants}
        gigabytes = len(dataset) * views * sum(dims.values()) * 4 / 2**30
        if gigabytes > self.max_gigabytes:
            raise UserError(
                f'TeacherMemoryHook: {len(dataset)} samples of {views} views '
                f'take {gigabytes:.1f} GB, but max_gigabytes='
                f'{self.max_gigabytes}; lower num_views or raise it.'
            )
        runner.logger.info(
            f'Teacher: {model.teacher.describe()}; asking it about '
            f'{len(dataset)} samples in {views} views ({gigabytes:.2f} GB)'
        )
        memory = TeacherMemory(
            len(dataset),
            views,
            dims.get(FEATURE),
            dims.get(LOGITS),
        )
        for samples, output in ask_about(
            runner, model, range(views), self.batch_size
        ):
            memory.write(samples, output)
        for values in (memory.feature, memory.logits):
            if values is not None:
                all_reduce(values)
        model.teacher_memory = memory
        # Nobody looks at the teacher's images any more: the workers, which
        # start with the first epoch, need not make them.
        dataset.teacher_pipeline = None
