"""Copies of images in a folder for each class: labels without a labeller."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Sequence, Union

from ..errors import UserError


class ClassFolders:
    """A folder with a folder of images for each class.

    Args:
        folder (str | Path): A new or empty folder.
        above (float): Least probability of an image that is copied.

    Raises:
        UserError: If there is something in the folder, or ``above`` is no
            probability.
    """

    def __init__(self, folder: Union[str, Path], above: float) -> None:
        self.folder, self.above = Path(folder).expanduser(), above
        if not 0 <= above <= 1:
            raise UserError(
                f'--above: expected a probability in [0, 1], got {above}.'
            )
        there = self.folder.exists()
        if there and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise UserError(
                f'--copy-to {folder}: expected a new or empty folder, got '
                'one with files, which would be mixed with these labels.'
            )

    def check(self, classes: Sequence[str]) -> None:
        """Refuses classes whose names are no names of folders.

        Raises:
            UserError: If one would lead elsewhere.
        """
        for name in classes:
            if name in ('', '.', '..') or set(name) & set('/\\\0'):
                raise UserError(
                    '--copy-to: expected classes whose names can be those of '
                    f'folders, got {name!r}.'
                )

    def put(self, answer: Any) -> bool:
        """Copies an image if its class is probable enough.

        Args:
            answer (Prediction): Of a sound image.

        Returns:
            bool: Whether it was.
        """
        label, confidence = answer.top[0]
        if confidence < self.above:
            return False
        self.check([label])
        # Two folders may have files of one name: they keep their folders.
        path = self.folder / label / answer.file.place
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(answer.file.path, path)
        return True
