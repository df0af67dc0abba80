"""A whole classifier beside the student, asked as the student is."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Union

import torch.nn as nn

from ...errors import UserError
from ...registry import MODELS
from ...stages import STUDENT
from ...utils.compat import keep_nested_state_dict
from ..batch import Batch
from ..outputs import Outputs
from ..rehearsal import Split
from ..student import Student, tap
from .base import OwnedNetwork


class OwnedClassifier(OwnedNetwork):
    """What networks share that are classifiers of their own.

    Attributes:
        model (nn.Module): The classifier, any of MMPretrain's.
    """

    view = STUDENT

    def hold(
        self, model: nn.Module, size: int, split: Optional[Split] = None
    ) -> None:
        """Takes a classifier over, with all that it offers.

        Args:
            model (nn.Module): The classifier.
            size (int): Height and width of a dry run.
            split (Split, optional): Where it is split, if that is known.
                Defaults to None.
        """
        self.model = model
        self._split = split or Student(model, input_size=size).split
        self._tapped = tap(model, size) if hasattr(model, 'backbone') else None
        self.shapes = dict(self.split_view().shapes)

    def split_view(self) -> Student:
        """Returns the view on the classifier's encoder and last layer."""
        # Made anew: a deep copy of this has another classifier.
        return Student(self.model, split=self._split, tapped=self._tapped)

    def build(self, model: Union[dict, nn.Module], distiller: Any) -> None:
        """Builds a classifier that sees what the student sees.

        Args:
            model (dict | nn.Module): Its config, or itself.
            distiller (BaseDistiller): Whose student's classes it has.

        Raises:
            UserError: If it is none, or of another number of classes.
        """
        name = type(self).__name__
        if isinstance(model, dict):
            # The distiller preprocesses and mixes.
            own = ('data_preprocessor', 'train_cfg')
            model = MODELS.build(
                {k: v for k, v in model.items() if k not in own}
            )
        keep_nested_state_dict(model)
        try:
            self.hold(model, distiller.input_size)
        except UserError as error:
            raise UserError(
                str(error).replace('student:', f'{name}.model:', 1)
            ) from error
        classes = distiller.student_view.num_classes
        if self.split_view().num_classes != classes:
            raise UserError(
                f"{name}.model: expected the student's {classes} classes, got "
                f'{self.split_view().num_classes}.'
            )

    def ask(
        self, batch: Batch, wants: Sequence[str], view: Optional[str] = None
    ) -> Outputs:
        """Runs the classifier once; see :meth:`Student.ask`."""
        return self.split_view().ask(batch, wants, view)
