"""Receding-horizon control: the problem is solved anew from each state that is measured."""

from __future__ import annotations

import math
import warnings
from numbers import Real
from typing import Any, Unpack

from torch import Tensor

from banded.checks import check_type
from banded.control.problem import ControlProblem
from banded.control.schemes import Scheme
from banded.control.solution import Solution
from banded.control.solver import Options, check_options
from banded.control.stated import number, vector


class Controller:
    """Feedback u = controller(x): the first control of the best trajectory from x, found from the last one.

    Args:
        problem: whose initial state is replaced by what is measured.
        nodes: of the horizon.
        scheme: as in `ControlProblem.solve`.
        step: time from one call to the next, where calls do not tell it; None for one interval of the grid.
        guess: for the first call, as in `ControlProblem.solve`.
        compile: compile derivatives as one graph (seconds, once; cached on disk).
        options: tolerance, max_iterations, ... as in `ControlProblem.solve`.

    Attributes:
        solution: of the last call, None before the first.

    Raises:
        TypeError, ValueError: for bad arguments.
    """

    def __init__(
        self,
        problem: ControlProblem,
        nodes: int = 50,
        scheme: str | Scheme = "trapezoidal",
        *,
        step: float | None = None,
        guess: Any = None,
        compile: bool = False,
        **options: Unpack[Options],
    ) -> None:
        check_type("problem", problem, ControlProblem)
        check_options("Controller", options, ("nodes", "scheme", "step", "guess", "compile"))
        if step is not None and (not isinstance(step, Real) or not 0 <= step < float("inf")):
            raise ValueError(f"step: expected a time from one call to the next, 0 or more, got {step!r}")
        self.problem = problem
        self.solution: Solution | None = None
        self._solver = problem.solver(nodes, scheme, compile=compile)
        self._step, self._guess, self._options = step, guess, options
        self._options.setdefault("progress", False)

    def __call__(self, state: Any, t: float | None = None) -> Tensor:
        """The control `(nu,)` at a measured state `(nx,)`, whose entries that are nan are free.

        Args:
            state: as it is measured.
            t: when, where functions ask for t: the horizon begins then. None for the problem's `initial_time`, so that
                t counts from now.

        Where no minimum is found, a RuntimeWarning says why, and the control is that of the best trajectory.

        Raises:
            TypeError, ValueError: if it is no such state, or no time.
        """
        stated = self.problem.stated
        x = vector("state", state, stated.states)
        if x.ndim != 1 or bool(x.isinf().any()):
            raise ValueError(f"state: expected {len(stated.states)} finite numbers, got {state!r}")
        now = number(t)
        if t is not None and (now is None or not math.isfinite(now)):
            raise TypeError(f"t: expected a finite number, or None, got {t!r}")
        guess = self.problem.guess if self._guess is None else self._guess
        if self.solution is not None:
            guess = self._later(self.solution, now)
        found = self._solver.solve(guess, x, stated.final, self.solution, self._options, now)
        assert isinstance(found, Solution)
        self.solution = found
        if not found.success:
            warnings.warn(f"Controller: {found.status.name}: {found.status.value}", RuntimeWarning, stacklevel=2)
        return found.u[0].clone()

    def reset(self) -> None:
        """Forget the last trajectory: the next call begins from the guess."""
        self.solution = None

    def _later(self, last: Solution, now: float | None) -> dict[str, Any]:
        """The last trajectory from now on, or from one step later on; beyond its ends, as it is there."""
        step = float(last.t[1] - last.t[0]) if self._step is None else self._step
        t = (last.t + (step if now is None else now - float(last.t[0]))).clamp(last.t[0], last.t[-1])
        x, u = last.curves(t)
        return {"x": x, "u": u, "duration": last.duration, "parameters": last.parameters}
