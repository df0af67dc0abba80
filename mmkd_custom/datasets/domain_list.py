"""Domains of images given by list files, as DomainNet's are."""

from __future__ import annotations

from pathlib import Path
from string import Formatter
from typing import Any, List, Optional, Sequence, Union

from mmpretrain.datasets import BaseDataset

from ..errors import UserError
from ..registry import DATASETS
from .domains import find_root, split_names
from .images import load_sample
from .list_classes import check_complete, check_names, class_names, given_names
from .lists import (
    ListLine,
    check_images,
    check_labels,
    find_list,
    image_base,
    read_list,
)
from .subset import keep_subset


@DATASETS.register_module()
class DomainList(BaseDataset):
    """Images named by list files: one ``relative/path label`` a line.

    The last token of a line is the label; paths may hold spaces, and are
    relative to the data root or to the list's own folder. Blank lines and
    lines that start with ``#`` are passed over.

    Without ``classes`` and ``classes_from`` a class is named by the folder
    that holds its images. Every label must have one name and every name one
    label, labels run from 0 without gaps, and count the classes by sorted
    name: plainly sorted, or as a dictionary does (case and punctuation do
    not count), which is how DomainNet's lists do. Samples keep the order of
    the lists. A label subset is drawn per class over all lists.

    Args:
        data_root (str): The folder that holds the images.
        list_file (str | Sequence[str]): One or several lists, relative to
            the data root or to the folder that holds it. ``{domain}`` and
            ``{split}`` are replaced. Defaults to
            'image_list/{domain}_{split}.txt', as for DomainNet.
        domain (str | Sequence[str], optional): One or several domains, or
            their names with commas between. Wanted if, and only if,
            ``list_file`` holds ``{domain}``. Defaults to None.
        split (str): What replaces ``{split}``. Defaults to 'train'.
        classes_from (str | Sequence[str], optional): Domains whose lists say
            what the classes are. This dataset must have the same; test data
            may lack some. Defaults to None.
        classes_split (str): The split of those lists. Defaults to 'train'.
        classes (Sequence[str] | str, optional): Class names in the order of
            the labels, or a file with one a line. Defaults to None.
        fraction (float, optional): Keep this seeded share of every class, in
            (0, 1]. Defaults to None, which keeps all.
        labels_per_class (int, optional): Keep this many seeded samples of
            every class. Defaults to None.
        complement (bool): Whether to keep what the subset leaves instead.
            Defaults to False.
        seed (int): Seed of the subset. Defaults to 0.
        pipeline (Sequence): Transforms. Defaults to ().
        test_mode (bool): Whether this is test data. Defaults to False.
        **kwargs: Further arguments of MMPretrain's ``BaseDataset``.

    Attributes:
        domain (str): The domains, or the lists' names without ``{domain}``.
        origin (tuple): The list files that the samples are drawn from.
        subset_indices (np.ndarray | None): Indices of the samples kept, among
            all that the lists name; None without a subset.

    Raises:
        UserError: If a list or an image is missing, a line is malformed,
            labels and names contradict each other, or the subset asks for
            more than there is. Names the list and the line.
    """

    def __init__(
        self,
        data_root: str,
        list_file: Union[
            str, Sequence[str]
        ] = 'image_list/{domain}_{split}.txt',
        domain: Union[str, Sequence[str], None] = None,
        split: str = 'train',
        classes_from: Union[str, Sequence[str], None] = None,
        classes_split: str = 'train',
        classes: Union[str, Sequence[str], None] = None,
        fraction: Optional[float] = None,
        labels_per_class: Optional[int] = None,
        complement: bool = False,
        seed: int = 0,
        pipeline: Sequence = (),
        test_mode: bool = False,
        **kwargs: Any,
    ) -> None:
        root = find_root(data_root)
        templates = [list_file] if isinstance(list_file, str) else list_file
        if not isinstance(templates, (list, tuple)) or not all(
            isinstance(template, str) for template in templates
        ):
            raise UserError(
                f'list_file: a path or a list of paths is wanted, but got '
                f'{list_file!r}.'
            )
        files = _resolve(root, templates, domain, split)
        self.origin = tuple(str(file.resolve()) for file in files)
        self.domain = (
            ','.join(split_names(domain))
            if domain is not None
            else ','.join(file.name for file in files)
        )
        self.subset_options = dict(
            fraction=fraction,
            labels_per_class=labels_per_class,
            complement=complement,
            seed=seed,
        )
        self.subset_indices = None
        self.lists = files
        lines = _read_all(files)
        if classes is not None and classes_from is not None:
            raise UserError(
                'classes and classes_from: at most one is wanted, but got '
                f'both ({classes!r} and {classes_from!r}).'
            )
        if classes is not None:
            names = given_names(classes)
            check_labels(lines, names)
            check_names(lines, names)
        elif classes_from is not None:
            others = _resolve(root, templates, classes_from, classes_split)
            names = class_names(_read_all(others))
            check_labels(lines, names)
            check_names(lines, names, only=True)
            if not test_mode:
                check_complete(lines, names, self.domain, classes_from)
        else:
            names = class_names(lines)
        super().__init__(
            ann_file='',
            metainfo=dict(classes=tuple(names)),
            data_root=str(root),
            pipeline=pipeline,
            test_mode=test_mode,
            **kwargs,
        )

    def load_data_list(self) -> List[dict]:
        """Lists ``img_path`` and ``gt_label`` of every sample."""
        samples = []
        for file in self.lists:
            lines = read_list(file)
            base = image_base(Path(self.data_root), lines)
            check_images(base, lines)
            samples += [
                dict(img_path=str(base / line.path), gt_label=line.label)
                for line in lines
            ]
        samples, self.subset_indices = keep_subset(
            f'DomainList {self.domain!r}',
            samples,
            self.CLASSES,
            **self.subset_options,
        )
        return samples

    def prepare_data(self, idx: int) -> Any:
        """Runs the pipeline on a sample; names the file if it is broken."""
        return load_sample(self.pipeline, self.get_data_info(idx))


def _resolve(
    root: Path,
    templates: Sequence[str],
    domain: Union[str, Sequence[str], None],
    split: str,
) -> List[Path]:
    """Gives the lists of each domain in turn."""
    fields = {
        field
        for template in templates
        for field in _fields(template)
        if field is not None
    }
    if not templates or not fields <= {'domain', 'split'}:
        raise UserError(
            'list_file: paths of lists with no other field than {domain} and '
            f'{{split}} are wanted, but got {templates!r}.'
        )
    if ('domain' in fields) != (domain is not None):
        raise UserError(
            f'list_file: {{domain}} in it and a domain go together, but got '
            f'{templates!r} and the domain {domain!r}.'
        )
    names = [''] if domain is None else split_names(domain)
    files = []
    for name in names:
        for template in templates:
            file = find_list(root, template.format(domain=name, split=split))
            if file in files:
                raise UserError(
                    f'list_file: {file} is read twice for {templates!r} and '
                    f'the domain {domain!r}; each list is wanted once.'
                )
            files.append(file)
    return files


def _fields(template: str) -> List[Optional[str]]:
    try:
        # A format or conversion makes it another field than those wanted.
        return [
            f'{field}:{form}' if form or conversion else field
            for _, field, form, conversion in Formatter().parse(template)
        ]
    except ValueError as error:
        raise UserError(
            f'list_file: {template!r} is no template ({error}); double the '
            'braces that belong to the name.'
        ) from error


def _read_all(files: Sequence[Path]) -> List[ListLine]:
    return [line for file in files for line in read_list(file)]
