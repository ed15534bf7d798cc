"""When it is enough, and what is wanted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Integral, Real

import numpy as np
import torch
from torch import Tensor

from banded.optimize.result import Status


def is_true(answer: object) -> bool:
    """Whether a callback answered True, of Python, NumPy or PyTorch: anything else it may have returned by chance."""
    if isinstance(answer, Tensor):
        return answer.dtype == torch.bool and answer.numel() == 1 and bool(answer)
    return isinstance(answer, bool | np.bool_) and bool(answer)


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
        steps = 0 if self.max_iterations is None else self.max_iterations
        if not isinstance(self.tolerance, Real) or not isinstance(steps, Integral):
            raise TypeError(
                "expected a number as tolerance and a whole number as max_iterations, "
                f"got {self.tolerance!r} and {self.max_iterations!r}"
            )
        if not self.tolerance >= 0:
            raise ValueError(f"tolerance: expected a number >= 0, got {self.tolerance!r}")
        if isinstance(self.max_iterations, bool) or isinstance(self.tolerance, bool):
            raise TypeError(f"expected numbers, got {self.tolerance!r} and {self.max_iterations!r}")
        if steps < 0:
            raise ValueError(f"max_iterations: expected a whole number >= 0, got {self.max_iterations!r}")
        if self.max_seconds is not None and not (isinstance(self.max_seconds, Real) and self.max_seconds >= 0):
            raise ValueError(f"max_seconds: expected a number of seconds >= 0, or None, got {self.max_seconds!r}")

    def after(self, steps: int, n: int, seconds: float) -> Limits:
        """What is left of them."""
        most = self._most(n)
        return replace(
            self,
            max_iterations=max(0, most - steps),
            max_seconds=None if self.max_seconds is None else max(0.0, self.max_seconds - seconds),
        )

    def _most(self, n: int) -> int:
        return max(3000, 3 * n) if self.max_iterations is None else self.max_iterations

    def reached(self, steps: int, n: int, seconds: float) -> Status | None:
        """Which of them is, by a problem of `n` unknowns."""
        if steps >= self._most(n):
            return Status.MAX_ITERATIONS
        return Status.MAX_SECONDS if seconds >= (math.inf if self.max_seconds is None else self.max_seconds) else None
