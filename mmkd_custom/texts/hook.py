"""Embeds the texts of a run before its first step, and says which are due."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
from mmengine.device import get_device
from mmengine.dist import (
    all_gather_object,
    broadcast_object_list,
    get_dist_info,
)
from mmengine.hooks import Hook
from mmengine.runner import Runner
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from ..cache.manifest import MADE_WITH
from ..cache.store import FeatureStore
from ..engine.hooks import StandardizeTeacherHook
from ..engine.teacher_pass import distiller_of, teacher_features
from ..engine.together import by_rank_0, together
from ..engine.unwrap import unwrapped
from ..errors import UserError, naming_files
from ..models.distillers import BaseDistiller
from ..models.networks import TextCorpus
from ..models.teachers.open_clip.text_tower import text_tower_of
from ..registry import HOOKS
from ..utils.files import write_atomic
from .corpus import Corpus, Survey
from .embedded import EmbeddedTexts, embed_corpus
from .select import first_of_each, nearest_texts


@HOOKS.register_module()
class TextCorpusHook(Hook):
    """Fills every :class:`~mmkd_custom.models.networks.TextCorpus`.

    Before the first step the corpus is read once, a block at a time, and each
    sentence that its cache does not hold is embedded by the text tower of the
    teacher. Before each step the network is told the iteration, from which
    follows what it draws. Does nothing for a model without such a network.
    """

    # After TeacherCacheHook (20): the choice of texts asks for the features of
    # all images. Before StandardizeTeacherHook (HIGH, 30), which is refused.
    priority = 25

    def before_train(self, runner: Runner) -> None:
        """Embeds, or opens what an earlier start has embedded.

        Raises:
            UserError: If the corpus is empty, the teacher has no text tower,
                or a cache is one of another corpus or teacher.
        """
        for name, network in _corpora(runner).items():
            if any(
                isinstance(h, StandardizeTeacherHook) for h in runner.hooks
            ):
                raise UserError(
                    'custom_hooks: expected no StandardizeTeacherHook, since '
                    'texts are compared with the embedding as it is, got one.'
                )
            # With diff_rank_seed each rank's differs, and all walk one order.
            seed = [runner.seed or 0]
            broadcast_object_list(seed)
            network.seed = seed[0]
            self._fill(runner, name, network)

    def before_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        """Tells each network where its walk stands."""
        for network in _corpora(runner).values():
            network.iteration = runner.iter

    def _fill(self, runner: Runner, name: str, network: TextCorpus) -> None:
        model = unwrapped(runner)
        teacher = model.teachers[network.of_teacher]
        corpus = together(lambda: Corpus(network))
        tower = together(lambda: text_tower_of(teacher))
        if tower.width != network.shapes['feature'].width:
            raise UserError(
                f'teacher {teacher.name}: expected a feature of width '
                f'{tower.width}, as its text tower has, got '
                f'{network.shapes["feature"].width}.'
            )
        chooses = network.nearest is not None
        wordings: List[np.ndarray] = []

        def read() -> Survey:
            with naming_files():
                survey = corpus.survey(chooses)
            if chooses:
                # Not all ranks need 8 bytes a sentence meanwhile.
                wordings.append(survey.wordings)
            return survey._replace(wordings=None)

        survey = by_rank_0(read)
        default = Path(runner.work_dir, f'{name}_cache')
        with naming_files():
            store = embed_corpus(
                corpus,
                survey,
                teacher,
                tower,
                Path(network.cache_dir or default),
                network.cache_dtype,
            )
        rows = None
        if chooses:
            file = Path(runner.work_dir, f'{name}_chosen.safetensors')
            rows = self._choose(runner, network, store, wordings, file)
        network.fill(EmbeddedTexts(store, rows))
        runner.logger.info(
            f'Texts: {survey.count} sentences in {store.folder}'
            + ('' if rows is None else f', of which {len(rows)} are drawn')
        )

    def _choose(
        self,
        runner: Runner,
        network: TextCorpus,
        store: FeatureStore,
        wordings: List[np.ndarray],
        file: Path,
    ) -> np.ndarray:
        """Chooses, or reads what an earlier start of the run has chosen."""
        model = distiller_of(runner, type(self).__name__)
        dataset = runner.train_dataloader.dataset
        # What the choice follows from. Not the features: another start may
        # compute them with other last digits, and must not choose anew.
        depends = {k: v for k, v in store.manifest.items() if k != MADE_WITH}
        depends.update(
            dataset_sha256=by_rank_0(dataset.samples_sha256),
            views=model.teachers[network.of_teacher].kept_views,
            nearest=network.nearest,
        )
        key = hashlib.sha256(repr(sorted(depends.items())).encode())
        key = key.hexdigest()

        def known() -> Optional[np.ndarray]:
            try:
                found = load_file(file) if file.is_file() else {}
            except SafetensorError:
                found = {}
            return found.get(key)

        rows = by_rank_0(known)
        if rows is not None:
            return rows
        candidates = by_rank_0(lambda: first_of_each(wordings[0]))
        features = teacher_features(runner, model, network.of_teacher)
        rank, world_size = get_dist_info()
        images = features[rank::world_size].to(get_device())
        part = together(
            lambda: nearest_texts(images, store, candidates, network.nearest)
        )
        rows = np.unique(np.concatenate(all_gather_object(part)))

        def write() -> None:
            with naming_files():
                write_atomic(file, save({key: rows}))

        by_rank_0(write)
        return rows


def _corpora(runner: Runner) -> Dict[str, TextCorpus]:
    """Returns the networks of a run that draw texts, by name."""
    model = unwrapped(runner)
    if not isinstance(model, BaseDistiller):
        return {}
    return {
        name: network
        for name, network in model.networks.items()
        if isinstance(network, TextCorpus)
    }
