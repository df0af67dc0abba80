"""Opens the teacher's cache, and has it read in place of images."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..engine.unwrap import unwrapped
from ..registry import HOOKS
from .cached_keys import marker
from .opening import open_cache


@HOOKS.register_module()
class TeacherCacheHook(Hook):
    """Takes the cache of a ``CachedTeacher`` into use.

    A batch whose teacher outputs are all there comes without images for the
    teacher, and without any in a stage that looks at none, such as
    CustomKD's customization. Does nothing for a model whose teacher is no
    ``CachedTeacher``.
    """

    # Before whatever asks the teacher (StandardizeTeacherHook, HIGH).
    priority = 20

    def before_train(self, runner: Runner) -> None:
        """Opens the cache.

        Raises:
            UserError: As
                :func:`~mmkd_custom.cache.opening.open_cache`.
        """
        store = open_cache(runner)
        if store is None:
            return
        model = unwrapped(runner)
        batches = runner.train_dataloader.batch_sampler
        sampler = batches.sampler

        def wants_image() -> bool:
            # Of the epoch that the sampler draws, which may be ahead.
            stage = model.schedule(sampler.epoch).name
            return stage not in model.imageless_stages

        batches.mark = marker(store, wants_image)

    def after_train(self, runner: Runner) -> None:
        """Has what was computed written to disk."""
        store = getattr(
            getattr(unwrapped(runner), 'teacher', None), 'store', None
        )
        if store is not None:
            store.flush()
