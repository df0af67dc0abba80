"""Labels of all images, propagated over a graph of a teacher's features."""

from __future__ import annotations

import math
from typing import Any, Dict, Optional, Sequence, Union

import torch

from ...errors import UserError
from ...registry import MODELS
from ...stages import TEACHER
from ..batch import Batch, send
from ..options import checked_choice, checked_positive, checked_size
from ..outputs import FEATURE, LOGITS, Outputs, Shape
from ..source import Source
from .base import OwnedNetwork
from .soft_labels import rows_of

LABELS, PROBE = 'more.labels', 'more.probe'

#: What is standardised together: decided by the data, each stream on its own,
#: or all images.
STANDARDIZE = ('auto', 'stream', 'all')


@MODELS.register_module()
class PropagatedLabels(OwnedNetwork):
    r"""Soft labels of every training image, known before the first step.

    ``PropagateLabelsHook`` computes them from the teacher's features of all
    images, see
    :func:`~mmkd_custom.fitting.propagation.propagate_labels`: a linear probe
    on the labelled images says p of the unlabelled ones, and over the graph
    of their nearest neighbours :math:`q = \alpha S q + (1 - \alpha) p` (Zhou
    et al. 2004). No label of an unlabelled image is read; it is transductive
    all the same, since the labels of the images at hand are what is found.

    It offers ``logits``, the logarithms of q; ``more.labels``, q itself with
    zeros in the rows that ``gate`` leaves out, whose cross entropy is then 0;
    and ``more.probe``, the logarithms of p. Labelled images have their label.

    Args:
        of (str): The teacher whose features they are. Defaults to 'teacher'.
        neighbours (int): Nearest neighbours k of each image. Defaults to 10.
        exponent (float): Of the cosine that weights an edge. Defaults to 3.0.
        alpha (float): Share of the neighbours, in [0, 1); with 0 the labels
            are the probe's. Defaults to 0.8.
        steps (int): Iterations. Defaults to 30.
        standardize (str): Features are standardised over each 'stream',
            which takes out what tells two domains apart, or over 'all'
            images. Defaults to 'auto': over all if the labelled images are of
            the unlabelled ones' dataset, else over each stream.
        class_mass (str | bool): Whether classes get the shares that they have
            among the labelled images. Defaults to 'auto': if these are of the
            unlabelled ones' dataset; another domain may have other shares.
        gate (str, optional): 'agree' leaves those out of which probe and
            propagation name different classes. Defaults to None.
        temperature (float): T of q^(1/T), below 1 sharper. Defaults to 1.0.
        file (str, optional): Where they are kept, for runs that share them;
            refused if it holds those of another teacher, images, views, seed
            or options. Defaults to None, in the run's work directory.

    Raises:
        UserError: If an option has no such value.
    """

    def __init__(
        self,
        of: str = TEACHER,
        neighbours: int = 10,
        exponent: float = 3.0,
        alpha: float = 0.8,
        steps: int = 30,
        standardize: str = 'auto',
        class_mass: Union[str, bool] = 'auto',
        gate: Optional[str] = None,
        temperature: float = 1.0,
        file: Optional[str] = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        for option, value, known in (
            ('standardize', standardize, STANDARDIZE),
            ('class_mass', class_mass, ('auto', True, False)),
            ('gate', gate, (None, 'agree')),
        ):
            checked_choice(f'{name}.{option}', value, known)
        if not isinstance(alpha, (int, float)) or not 0 <= alpha < 1:
            raise UserError(
                f'{name}.alpha: expected a number in [0, 1), got {alpha!r}.'
            )
        self.teacher, self.standardize, self.gate = of, standardize, gate
        self.class_mass = class_mass
        self.ahead = (Source(of, None, FEATURE),)
        self.temperature = checked_positive(f'{name}.temperature', temperature)
        self.file = file
        #: What the labels depend on besides teacher and images.
        self.options: Dict[str, Union[int, float]] = dict(
            neighbours=checked_size(f'{name}.neighbours', neighbours),
            exponent=checked_positive(f'{name}.exponent', exponent),
            alpha=alpha,
            steps=checked_size(f'{name}.steps', steps),
        )
        #: Cohen's kappa of the probe on held-out labelled images, None until
        #: the labels are there, NaN if none could be held out.
        self.kappa: Optional[float] = None
        self._tables: Dict[str, torch.Tensor] = {}

    def attach(self, distiller: Any) -> None:
        """Checks the teacher's name; the classes are the student's."""
        if self.teacher not in distiller.teachers:
            raise UserError(
                f'{type(self).__name__}.of: expected one of the teachers '
                f'{", ".join(distiller.teachers)}, got {self.teacher!r}.'
            )
        shape = Shape((distiller.student_view.num_classes,))
        self.shapes = {LOGITS: shape, LABELS: shape, PROBE: shape}

    def fill(
        self,
        labels: torch.Tensor,
        probe: torch.Tensor,
        agree: torch.Tensor,
        kappa: float = math.nan,
    ) -> None:
        """Takes over what was propagated.

        Args:
            labels (Tensor): q (N, C) of each training sample.
            probe (Tensor): p (N, C).
            agree (Tensor): Whether both name the same class (N,).
            kappa (float): The probe's on held-out labelled images; NaN if
                none could be held out, the default.
        """
        self.kappa = kappa
        # q^(1/T), normalised, in logarithms.
        logits = labels.clamp_min(1e-8).log() / self.temperature
        logits = logits.log_softmax(1)
        kept = logits.exp()
        if self.gate == 'agree':
            kept = kept * agree[:, None]
        # No buffers: they stay on the host, and the file is at hand whenever
        # a run starts.
        self._tables = {
            LOGITS: logits,
            LABELS: kept,
            PROBE: probe.clamp_min(1e-8).log(),
        }

    def ask(
        self, batch: Batch, wants: Sequence[str], view: Optional[str] = None
    ) -> Outputs:
        """Looks the samples up by ``sample_idx``; (N, C) each.

        Raises:
            UserError: If nothing has been propagated.
        """
        if not self._tables:
            raise UserError(
                f'{type(self).__name__}: expected its labels before the first '
                "step; add dict(type='mmkd_custom.PropagateLabelsHook') to "
                'custom_hooks.'
            )
        rows = rows_of(batch)
        found = {
            want: send(self._tables[want][rows], batch.device)
            for want in wants
        }
        return Outputs(
            logits=found.pop(LOGITS, None),
            more={k.partition('.')[2]: v for k, v in found.items()},
        )
