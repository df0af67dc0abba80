"""All pictures of finished runs, and one page that holds them."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import (
    Any,
    Callable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Union,
)

import numpy as np

from ..errors import UserError
from ..utils.files import check_output
from .confusion import draw_confusion, paired
from .curves import draw_curves, draw_similarity
from .embedding import Features, draw_maps
from .examples import draw_examples, draw_some, only_last_right
from .features import IMAGES, student_features, teacher_features
from .page import Picture, write_page
from .runs import Run, read_runs
from .students import (
    Answers,
    Tested,
    ask,
    build_tested,
    check_alike,
    images_of,
    labels_of,
)
from .style import drawing, save

#: Test images that are shown.
EXAMPLES = 12


class Report(NamedTuple):
    """What was made.

    Args:
        page (Path): The page.
        pictures (list[Path]): The PNG files; an SVG lies beside each.
        left_out (list[str]): What is missing and why, a sentence each.
    """

    page: Path
    pictures: List[Path]
    left_out: List[str]


def make_report(
    work_dirs: Sequence[Union[str, Path]],
    out: Union[str, Path, None] = None,
    names: Optional[Sequence[str]] = None,
    options: Optional[dict] = None,
) -> Report:
    """Draws whatever finished runs have left enough for.

    Args:
        work_dirs (Sequence[str | Path]): Their work directories; the last is
            the one that a comparison is about, the first what it is compared
            with.
        out (str | Path, optional): Folder of the files. Defaults to None,
            ``analysis`` in the last work directory.
        names (Sequence[str], optional): What the runs are called. Defaults to
            None, as :func:`~.runs.read_runs` has it.
        options (dict, optional): Dotted keys of all runs' configs to new
            values, such as where data lie now. Defaults to None.

    Returns:
        Report: What was made.

    Raises:
        UserError: If a folder is no finished run, the runs have different
            test sets, or nothing can be written.
    """
    runs = read_runs(work_dirs, names)
    folder = Path(out) if out else runs[-1].work_dir / 'analysis'
    check_output('--out', folder / 'report.html', folder_made=True)
    maker = _Maker(runs, folder, options)
    tested = maker.tested()
    folder.mkdir(parents=True, exist_ok=True)
    maker.curves()
    maker.answers(tested)
    maker.maps(tested)
    page = folder / 'report.html'
    write_page(page, runs, maker.pictures, maker.left_out, options)
    return Report(page, [p.path for p in maker.pictures], maker.left_out)


class _Maker:
    """Collects pictures, and sentences about those that cannot be made."""

    def __init__(
        self, runs: List[Run], folder: Path, options: Optional[dict]
    ) -> None:
        self.runs, self.folder, self.options = runs, folder, options
        self.pictures: List[Picture] = []
        self.left_out: List[str] = []

    @contextmanager
    def telling(self, what: str) -> Iterator[None]:
        """Leaves out what cannot be made inside the ``with``, and says so."""
        try:
            yield
        except UserError as error:
            self.left_out.append(f'{what}: {error}')

    def keep(
        self,
        name: str,
        title: str,
        caption: str,
        draw: Callable[[Any], Any],
        needs: str = 'something to draw',
    ) -> None:
        """Draws a picture and writes it."""
        with drawing() as pyplot:
            figure = draw(pyplot)
            if figure is None:
                self.left_out.append(f'{title}: expected {needs}, got none.')
                return
            path = save(figure, self.folder, name)
        self.pictures.append(Picture(title, caption, path))

    def tested(self) -> List[Tested]:
        """Builds the students that there are, and refuses to mix tests."""
        found = []
        for run in self.runs:
            with self.telling(f'{run.name}, student'):
                found.append(build_tested(run, self.options))
        check_alike(found)
        return found

    def curves(self) -> None:
        """Draws metrics, losses, and what a hook has logged."""
        for run in self.runs:
            if not run.scalars:
                self.left_out.append(
                    f'{run.name}, losses: expected */vis_data/scalars.json '
                    'in its work directory, got none.'
                )
        self.keep(
            'curves',
            'Training',
            'Metrics on the test set after each evaluation, and each loss '
            'with its weight as it was logged. Runs of different length are '
            'drawn over the share of the run.',
            lambda pyplot: draw_curves(pyplot, self.runs),
        )
        self.keep(
            'similarity',
            'Similarity of features',
            'Linear CKA of the features of the same training images, after '
            'each evaluation: 1 is alike up to a rotation and a scale.',
            lambda pyplot: draw_similarity(pyplot, self.runs),
            'runs with a FeatureSimilarityHook in custom_hooks',
        )

    def answers(self, tested: List[Tested]) -> None:
        """Draws what the students say of the test images."""
        found: List[Answers] = []
        with self.telling('Confusion'):
            labels = labels_of(tested[0]) if tested else None
            for each in tested:
                with self.telling(f'{each.run.name}, confusion'):
                    found.append(ask(each))
        if not found:
            return
        names, last = tested[0].classes, found[-1]
        pairs = ' '.join(
            f'{last.run.name} less {each.run.name}: '
            f'{paired(labels, each.classes, last.classes)}.'
            for each in found[:-1]
        )
        self.keep(
            'confusion',
            'What is taken for what',
            f'{len(labels)} test images; every row sums to 100 %. {pairs}',
            lambda pyplot: draw_confusion(pyplot, labels, found, names),
        )
        self._examples(tested, found, labels)

    def _examples(
        self, tested: List[Tested], found: List[Answers], labels: np.ndarray
    ) -> None:
        last = found[-1].run
        of_last = {each.run.name: each for each in tested}[last.name]
        given = [each.classes for each in found]
        right = only_last_right(labels, given)
        if len(found) < 2 or not len(right):
            self.left_out.append(
                'Examples: expected two students or more and an image that '
                f'only the last gets right, got {len(found)} and {len(right)}.'
            )
            return
        shown = draw_some(right, EXAMPLES)
        lost = np.all([g == labels for g in given[:-1]], axis=0)
        lost = int((lost & (given[-1] != labels)).sum())
        self.keep(
            'examples',
            f'What only {last.name} gets right',
            f'{len(shown)} of the {len(right)} test images that only '
            f'{last.name} gives the right class, drawn at random, as the '
            'student sees them; the true class above, below what each '
            f'student says and how sure it is. {lost} images are right in '
            f'all other runs and wrong in {last.name}.',
            lambda pyplot: draw_examples(
                *(pyplot, images_of(of_last, shown), labels, found, shown),
                tested[0].classes,
            ),
        )

    def maps(self, tested: List[Tested]) -> None:
        """Draws the features of students and of the last run's teacher."""
        students: List[Features] = []
        for each in tested:
            with self.telling(f'{each.run.name}, feature'):
                feature, chosen = student_features(each)
                students.append(feature)
        if not students:
            return
        taught: List[Features] = []
        for each in tested[::-1]:
            with self.telling(f"{each.run.name}, teacher's feature"):
                taught = teacher_features(each.run, each.student.config)
            if taught:
                break
        whose = f' of {each.run.name}' if taught else ''
        self.keep(
            'features',
            'Features',
            f'At most {IMAGES} training images in their first view, by t-SNE; '
            f"the teacher's features{whose} are those of its last "
            'checkpoint. Colours are true classes, read for this picture '
            'alone. The figures below are measured in the feature itself, '
            'which a map distorts: the share of unlabelled images that have '
            'the class of most of their labelled neighbours.',
            lambda pyplot: draw_maps(
                *(pyplot, [*taught, *students]),
                *(tested[0].classes, chosen.called),
            ),
        )
