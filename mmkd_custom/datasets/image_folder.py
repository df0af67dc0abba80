"""All images below a folder, without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List

from mmpretrain.datasets import BaseDataset

from ..errors import UserError
from ..registry import DATASETS
from .images import is_image_name, load_sample, visible_files


@DATASETS.register_module()
class ImageFolder(BaseDataset):
    """All images below a folder, however they are sorted into subfolders.

    For images whose class nobody knows or needs, such as synthetic ones that
    only distillation terms see. Samples are sorted by path and have no
    ``gt_label``, the dataset has no classes. Hidden files and folders are
    left out, symbolic links are followed.

    Args:
        data_root (str): The folder; ``~`` is expanded.
        **kwargs: Arguments of MMPretrain's ``BaseDataset``, such as
            ``pipeline``.

    Raises:
        UserError: If there is no such folder or no image in it.
    """

    def __init__(self, data_root: str, **kwargs: Any) -> None:
        self.folder = Path(data_root or '').expanduser()
        if not data_root or not self.folder.is_dir():
            raise UserError(
                'ImageFolder: data_root: expected an existing folder of '
                f'images, got {str(data_root)!r}.'
            )
        super().__init__(ann_file='', data_root=str(self.folder), **kwargs)

    def load_data_list(self) -> List[dict]:
        """Lists ``img_path`` of every sample."""
        paths = sorted(filter(is_image_name, visible_files(self.folder)))
        if not paths:
            raise UserError(
                f'ImageFolder: data_root: expected images in {self.folder} or '
                'below, got none.'
            )
        return [dict(img_path=str(self.folder / path)) for path in paths]

    def prepare_data(self, idx: int) -> Any:
        """Runs the pipeline on a sample; names the file if it is broken."""
        return load_sample(self.pipeline, self.get_data_info(idx))
