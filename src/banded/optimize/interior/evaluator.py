"""What a phase needs to know of its functions."""

from __future__ import annotations

from typing import Protocol, Self

from torch import Tensor

from banded.optimize.interior.form import Form
from banded.optimize.interior.point import Point


class Evaluator(Protocol):
    """The functions of a phase.

    Attributes:
        factor: `(A,)`: of the objective, None where it does not count.
    """

    factor: Tensor | None

    def look(self, form: Form, v: Tensor, multipliers: Tensor) -> Point:
        """Everything at v `(A, N)` and λ `(A, m)`, without multipliers of bounds."""
        ...

    def values(self, form: Form, v: Tensor) -> tuple[Tensor, Tensor]:
        """The objective `(A,)` and the equations `(A, m)` at v."""
        ...

    def take(self, rows: Tensor) -> Self:
        """Those of some problems."""
        ...

    def elastic(self) -> Self:
        """Those of restoration, where the objective does not count."""
        ...
