"""What linear layers and dropouts took and gave in one forward pass."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from ..errors import UserError

#: Functions that drop out, of those whose output may feed a linear layer.
_DROPOUT = (F.dropout, F.alpha_dropout, F.feature_alpha_dropout, F.dropout1d)


class Trace(TorchFunctionMode):
    """Notes what modules took and gave; has dropout copy, not drop.

    Args:
        model (nn.Module): The model to listen to, while this is entered.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._calls: Dict[str, Tuple[torch.Tensor, torch.Tensor]] = {}
        self._dropped: List[Tuple[torch.Tensor, torch.Tensor]] = []
        kinds = nn.Linear, nn.modules.dropout._DropoutNd
        self._handles = [
            module.register_forward_hook(self._listen(name))
            for name, module in model.named_modules()
            if isinstance(module, kinds)
        ]
        self._linears = {
            name
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear)
        }

    def _listen(self, name: str) -> Any:
        def hook(_module: nn.Module, args: tuple, output: Any) -> None:
            self._calls.pop(name, None)
            self._calls[name] = (args[0] if args else None, output)

        return hook

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in _DROPOUT:
            return func(*args, **kwargs)
        value = args[0] if args else kwargs['input']
        rate = args[1] if len(args) > 1 else kwargs.get('p', 0.5)
        if rate == 0:
            return value
        self._dropped.append((value, value.clone()))
        return self._dropped[-1][1]

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for handle in self._handles:
            handle.remove()

    def source(self, logits: torch.Tensor) -> Optional[str]:
        """Finds the linear layer that gave the logits."""
        for name in reversed([n for n in self._calls if n in self._linears]):
            output = self._calls[name][1]
            if output is logits or (
                output.shape == logits.shape and torch.equal(output, logits)
            ):
                return name
        return None

    def before_dropout(self, classifier: str) -> Optional[str]:
        """Goes back over the dropouts that feed a linear layer.

        Args:
            classifier (str): The linear layer.

        Returns:
            str: The module that takes what comes before them; None if one of
            them is no module.
        """
        feature, found = self._calls[classifier][0], classifier
        for before, after in reversed(self._dropped):
            if after is not feature:
                if after.data_ptr() == feature.data_ptr():
                    raise UserError(
                        'student: expected a dropout right before the last '
                        'linear layer, got a reshape between them; let the '
                        'model flatten before it drops out.'
                    )
                continue
            feature = before
            found = next(
                (n for n, (_, given) in self._calls.items() if given is after),
                None,
            )
            if found is None:
                return None
        return found


class Undropped(TorchFunctionMode):
    """Remembers what dropouts took, while they drop out as they should."""

    def __init__(self) -> None:
        super().__init__()
        self._before: Dict[int, Tuple[torch.Tensor, torch.Tensor]] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        value = args[0] if args else kwargs.get('input')
        if func in _DROPOUT and output is not value:
            # With the output: its number may else be given to another.
            self._before[id(output)] = value, output
        return output

    def source(self, feature: torch.Tensor) -> torch.Tensor:
        """Returns what a tensor was before all dropouts that end in it."""
        while id(feature) in self._before:
            feature = self._before[id(feature)][0]
        return feature
