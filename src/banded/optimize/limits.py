"""When it is enough, and what is wanted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from banded.optimize.result import Status

LONG = (100, 1000)  # steps after which a band that was found is doubted: with a wrong one, there is little progress


def is_true(answer: object) -> bool:
    """Whether a callback answered True, of Python, NumPy or PyTorch: anything else it may have returned by chance."""
    if isinstance(answer, Tensor):
        return answer.dtype == torch.bool and answer.numel() == 1 and bool(answer)
    return isinstance(answer, bool | np.bool_) and bool(answer)


def _check(name: str, limit: Any, kind: type, wanted: str) -> None:
    is_number: bool = isinstance(limit, kind) and not isinstance(limit, bool)
    if not is_number:
        raise TypeError(f"{name}: expected {wanted}, got {limit!r}")
    if not limit >= 0:
        raise ValueError(f"{name}: expected {wanted}, got {limit!r}")


@dataclass(frozen=True)
class Limits:
    """Of one minimisation.

    Attributes:
        tolerance: on the largest absolute entry of the gradient.
        max_iterations: Newton steps at most; None for three times as many as there are unknowns, and at least 3000.
        max_seconds: of wall-clock time, looked at between steps.
        graph: whether derivatives of the minimum are wanted.

    Raises:
        TypeError: if these are no numbers.
        ValueError: if one is negative.
    """

    tolerance: float
    max_iterations: int | None
    max_seconds: float | None
    graph: bool = False

    def __post_init__(self) -> None:
        _check("tolerance", self.tolerance, Real, "a number >= 0, such as 1e-8")
        if self.max_iterations is not None:
            _check("max_iterations", self.max_iterations, Integral, "a whole number >= 0, or None")
        if self.max_seconds is not None:
            _check("max_seconds", self.max_seconds, Real, "a number of seconds >= 0, or None")

    def after(self, seconds: float) -> Limits:
        """What is left of them."""
        left = None if self.max_seconds is None else max(0.0, self.max_seconds - seconds)
        return replace(self, max_seconds=left)

    def reached(self, steps: int, n: int, seconds: float) -> Status | None:
        """Which of them is, by a problem of `n` unknowns."""
        if steps >= (max(3000, 3 * n) if self.max_iterations is None else self.max_iterations):
            return Status.MAX_ITERATIONS
        return Status.MAX_SECONDS if seconds >= (math.inf if self.max_seconds is None else self.max_seconds) else None
