"""How much memory a computation takes at its peak."""

import weakref
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


def peak_bytes(compute: Callable[[], object]) -> int:
    """The largest total size of the tensors that are alive at once while `compute` runs, in bytes."""
    meter = _Meter()
    with meter:
        compute()
    return meter.peak


class _Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up what operations allocate, until it is freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive: int = 0
        self.peak: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        known = {one.untyped_storage()._cdata for one in args if isinstance(one, Tensor)}
        for one in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(one, Tensor) and one.untyped_storage()._cdata not in known:
                size = one.untyped_storage().nbytes()
                self.alive += size
                self.peak = max(self.peak, self.alive)
                weakref.finalize(one, self._free, size)
        return result

    def _free(self, size: int) -> None:
        self.alive -= size
