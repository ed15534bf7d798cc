"""Compiling kernels with numba, kept on disk where a folder can be written."""

from collections.abc import Callable
from typing import Any

from numba import njit

OPTIONS = {"nogil": True, "error_model": "numpy", "boundscheck": False}


def compiled(*flags: str, allocates: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that compiles with these of LLVM's fast-math flags.

    The flags are part of what a kernel computes: "nnan" only stands where NaN
    cannot change a decision.

    Args:
        flags: the flags.
        allocates: whether the kernel makes arrays. Without, none are counted: counting each row that is looked at,
            with atomic operations, can take most of the time.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        options: dict[str, Any] = {**OPTIONS, "fastmath": set(flags), "_nrt": allocates}
        try:
            kernel: Callable[..., Any] = njit(cache=True, **options)(function)
        except RuntimeError:  # no folder for the cache
            kernel = njit(**options)(function)
        return kernel

    return decorate


exact = compiled("contract", allocates=False)
fast = compiled("contract", "nsz", "reassoc", allocates=False)
plain = compiled(allocates=False)
fast_finite = compiled("contract", "nsz", "reassoc", "nnan", allocates=False)
