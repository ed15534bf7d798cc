"""How much memory a computation takes at its peak."""

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch import Tensor, UntypedStorage
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
        known = {storage._cdata for storage in _storages((*args, *(kwargs or {}).values()))}
        for storage in _storages(result if isinstance(result, (tuple, list)) else (result,)):
            if storage._cdata not in known:
                self.alive += storage.nbytes()
                self.peak = max(self.peak, self.alive)
                weakref.finalize(storage, self._free, storage.nbytes())  # a graph may keep it longer than its tensor
        return result

    def _free(self, size: int) -> None:
        self.alive -= size


def _storages(values: Iterable[object]) -> Iterator[UntypedStorage]:
    return (value.untyped_storage() for value in values if isinstance(value, Tensor))
