"""Compiling kernels with numba, kept on disk where a folder can be written."""

from collections.abc import Callable
from typing import Any

from numba import njit

OPTIONS = {"nogil": True, "error_model": "numpy", "boundscheck": False}


def compiled(*flags: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that compiles with these of LLVM's fast-math flags.

    The flags are part of what a kernel computes: "nnan" only stands where NaN
    cannot change a decision.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        options: dict[str, Any] = {**OPTIONS, "fastmath": set(flags)}
        try:
            kernel: Callable[..., Any] = njit(cache=True, **options)(function)
        except RuntimeError:  # no folder for the cache
            kernel = njit(**options)(function)
        return kernel

    return decorate


exact = compiled("contract")
fast = compiled("contract", "nsz", "reassoc")
fast_finite = compiled("contract", "nsz", "reassoc", "nnan")
