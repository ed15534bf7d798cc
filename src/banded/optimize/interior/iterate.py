"""What an interior-point method is given, and what it tells of the points on its way."""

from typing import NamedTuple

from banded.optimize.interior.questions import Direction, Measure
from banded.optimize.result import Status


class Iterate(NamedTuple):
    """An iterate, in numbers.

    Attributes:
        measure: how far from an optimum.
        mu: μ.
        direction: the step that led here, None at the start.
        primal, dual: how much of it.
        shift: δ of that step.
        trials: points tried on the way.
        value: the objective.
        violation: largest |c|, scaled.
        restoration: whether this is one of restoration.
        restored: whether that has done its work here.
        evaluations: made to come here.
        status: why there is no next iterate, or None.
    """

    measure: Measure
    mu: float
    direction: Direction | None
    primal: float
    dual: float
    shift: float
    trials: int
    value: float
    violation: float
    restoration: bool = False
    restored: bool = False
    evaluations: int = 0
    status: Status | None = None


class Settings(NamedTuple):
    """What a run is given.

    Attributes:
        tolerance: of the scaled error E_0.
        eps: of the dtype.
        mu: the first μ.
        constrained: whether there are equations.
        bounds: how many bounds there are, those of slacks included.
        warm: whether the start has multipliers.
        barrier: by which of `RULES` μ falls.
    """

    tolerance: float
    eps: float
    mu: float
    constrained: bool
    bounds: float = 1.0
    warm: bool = False
    barrier: str = "monotone"
