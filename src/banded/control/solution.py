"""What solving a control problem gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from banded.control.curves import Curves, Point
from banded.optimize import Record, Status

if TYPE_CHECKING:
    from banded.control.problem import ControlProblem
    from banded.optimize import Result


@dataclass(frozen=True, eq=False)
class Solution:
    """A trajectory, and how it was found.

    Attributes:
        t: `(T,)`: times of the nodes.
        x: `(T, nx)`: states there.
        u: `(T, nu)`: controls there; where they are constant from node to node, that of the interval that begins.
        cost: of the problem, by the scheme's own quadrature.
        status: why it ended; `status.value` is advice.
        duration: T.
        parameters: `(np,)`.
        costates: `(T, nx)`: dJ/dx, how fast the least cost of the rest grows with x at t, in units of cost over x. The
            first is that of the first state, where it is fixed. Exact in the first and the last row; between them to
            the order of the scheme, of order 2 at most.
        path_multipliers: `(P, ng)`, not negative: of the path constraints, at the nodes and then between them.
        error: `(N,)`: the part of each interval in the relative error of x, as the defects between the nodes tell it.
        states, controls, parameter_names: names.
        scheme: the name of the scheme.
        curves: states and controls between the nodes.
        iterations, seconds: what it took.
        history: a `Record` for each iterate.
        rounds: the grids on the way to an accuracy that was asked for.
        result: all that the optimiser says; None for a solution that was loaded.
        problem: what was solved; None for a solution that was loaded.
    """

    t: Tensor = field(repr=False)
    x: Tensor = field(repr=False)
    u: Tensor = field(repr=False)
    cost: float
    status: Status
    duration: float
    parameters: Tensor
    costates: Tensor = field(repr=False)
    path_multipliers: Tensor = field(repr=False)
    error: Tensor = field(repr=False)
    states: tuple[str, ...] = field(repr=False)
    controls: tuple[str, ...] = field(repr=False)
    parameter_names: tuple[str, ...] = field(repr=False)
    scheme: str
    curves: Curves = field(repr=False)
    iterations: int
    seconds: float
    history: tuple[Record, ...] = field(default=(), repr=False)
    rounds: tuple[Any, ...] = field(default=(), repr=False)
    result: Result | None = field(default=None, repr=False)
    problem: ControlProblem | None = field(default=None, repr=False)

    @property
    def success(self) -> bool:
        """Whether it is a minimum, as nearly as asked or as rounding allows."""
        return self.status.success

    @property
    def accuracy(self) -> float:
        """The largest error of an interval, relative."""
        return float(self.error.max())

    def __call__(self, t: Any) -> Point:
        """States `(..., nx)` and controls `(..., nu)` at times `(...)`, by the scheme's own polynomials.

        Raises:
            ValueError: for times outside those of the nodes.
        """
        times = torch.as_tensor(t, dtype=self.t.dtype)
        slack = 1e-9 * float(self.t[-1] - self.t[0])
        if not bool(((times >= self.t[0] - slack) & (times <= self.t[-1] + slack)).all()):
            raise ValueError(f"t: expected times from {float(self.t[0]):.6g} to {float(self.t[-1]):.6g}, got others")
        return self.curves(times)
