"""Domains of images given by list files, as DomainNet's are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Optional, Sequence, Union

from ..errors import UserError
from ..registry import DATASETS
from .base import LabelledDataset
from .domains import find_root, listed, split_names
from .lists import (
    ListLine,
    check_images,
    check_labels,
    check_names,
    class_names,
    find_list,
    image_base,
    read_lines,
    read_list,
)


@DATASETS.register_module()
class DomainList(LabelledDataset):
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
            their names with commas between. Needed if, and only if,
            ``list_file`` holds ``{domain}``. Defaults to None.
        split (str): What replaces ``{split}``. Defaults to 'train'.
        classes_from (str | Sequence[str], optional): Domains whose lists say
            what the classes are. This dataset must have the same; test data
            may lack some. Defaults to None.
        classes_split (str): The split of those lists. Defaults to 'train'.
        classes (Sequence[str] | str, optional): Class names in the order of
            the labels, or a file with one a line. Defaults to None.
        test_mode (bool): Whether this is test data. Defaults to False.
        **kwargs: Arguments of :class:`LabelledDataset`.

    Attributes:
        domain (str): The domains, or the lists' names without ``{domain}``.

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
        test_mode: bool = False,
        **kwargs: Any,
    ) -> None:
        root = find_root(data_root)
        templates = [list_file] if isinstance(list_file, str) else list_file
        self.lists = _resolve(root, templates, domain, split)
        self.origin = tuple(str(file.resolve()) for file in self.lists)
        names = [file.name for file in self.lists]
        self.domain = ','.join(split_names(domain) if domain else names)
        lines = _read_all(self.lists)
        if classes is not None and classes_from is not None:
            raise UserError(
                'classes and classes_from: expected at most one, got '
                f'{classes!r} and {classes_from!r}.'
            )
        if classes is not None:
            names = _given_names(classes)
        elif classes_from is not None:
            others = _resolve(root, templates, classes_from, classes_split)
            names = class_names(_read_all(others))
        else:
            names = class_names(lines)
        check_labels(lines, names)
        check_names(lines, names, only=classes is None)
        missing = sorted(set(range(len(names))) - {x.label for x in lines})
        if missing and classes_from is not None and not test_mode:
            raise UserError(
                f'classes_from: expected the same classes in {self.domain!r}, '
                f'got class {listed([names[label] for label in missing])} in '
                f'the lists of {classes_from!r} only.'
            )
        super().__init__(
            ann_file='',
            metainfo=dict(classes=tuple(names)),
            data_root=str(root),
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
        labels = [sample['gt_label'] for sample in samples]
        kept = self.keep(repr(self.domain), labels)
        return [samples[index] for index in kept]


def _resolve(
    root: Path,
    templates: Any,
    domain: Union[str, Sequence[str], None],
    split: str,
) -> List[Path]:
    """Returns the lists of each domain in turn."""
    domains = [None] if domain is None else split_names(domain)
    try:
        paths = [
            template.format(domain=name, split=split)
            for name in domains
            for template in templates
        ]
        named = any('{domain}' in template for template in templates)
    # Also of what is no text, and of other fields.
    except (AttributeError, LookupError, TypeError, ValueError):
        paths, named = [], False
    if not paths or named != (domain is not None):
        raise UserError(
            'list_file: expected paths with no other field than {domain} and '
            '{split}, with {domain} if, and only if, a domain is given, got '
            f'{templates!r} and the domain {domain!r}.'
        )
    files = [find_list(root, path) for path in paths]
    if len(set(files)) < len(files):
        raise UserError(
            f'list_file: expected each list once, got {templates!r} and the '
            f'domain {domain!r}.'
        )
    return files


def _read_all(files: Sequence[Path]) -> List[ListLine]:
    return [line for file in files for line in read_list(file)]


def _given_names(classes: Any) -> List[str]:
    names: Optional[Sequence[str]] = classes
    if isinstance(classes, str):
        lines = read_lines(Path(classes).expanduser(), 'classes')
        names = [line for _, line in lines]
    if (
        not isinstance(names, (list, tuple))
        or not all(isinstance(name, str) and name.strip() for name in names)
        or len(set(names)) < len(names)
    ):
        raise UserError(
            'classes: expected class names, none of them blank or given '
            f'twice, or a file with one a line, got {classes!r}.'
        )
    return list(names)
