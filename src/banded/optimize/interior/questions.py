"""What the interior-point method asks of the linear algebra, and what it is told: numbers only."""

from collections.abc import Generator
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias, TypeVar

Answer = TypeVar("Answer")
Asking: TypeAlias = Generator[Any, Any, Answer]
"""A part of the method: asks questions, yields iterates, returns an answer."""


class Step(IntEnum):
    """The kinds of questions; in each phase, of a batch in step, those with the lower number are answered first."""

    MEASURE = 0  # how far the point is from an optimum of the barrier problem
    MULTIPLIERS = 1  # λ anew, as least squares has them
    DIRECTION = 2  # the step of Newton's method on the conditions of optimality
    CORRECTION = 3  # the same with the curvature of the constraints at the last trial taken into account
    TRY = 4  # the values at a part of the step
    LOOK = 5  # the same with derivatives, kept in case the point is taken
    TAKE = 6  # move to the point that was tried last
    ENTER = 7  # the phase of restoration begins where the regular one is
    COMPARE = 8  # where restoration is, measured as in the regular phase
    LEAVE = 9  # the regular phase goes on from where restoration is
    CURVE = 10  # a direction that keeps to the constraints and along which the Lagrangian curves downwards most
    CONCEDE = 11  # the regular phase ends where restoration does, with the multipliers of that
    RELAX = 12  # the bounds a little farther apart, where there is no room between them
    SPLIT = 13  # in restoration, what is violated divided anew, as is best there
    AIM = 14  # the step, for the μ for which it promises most
    RESCALE = 15  # f and rows as the point itself would have them, where they are flatter than at the start
    KEEP = 16  # the point, for a way back to it
    RETURN = 17  # to the point that was kept


class Which(NamedTuple):
    """A kind of question, of the regular phase (0) or that of restoration (1)."""

    phase: int
    step: Step


class Measure(NamedTuple):
    """How far a point is from an optimum of the barrier problem (Wächter & Biegler 2006, eq. 5), scaled by s_d and s_c.

    Attributes:
        theta: Σ |c|, of the scaled rows.
        phi: the barrier function.
        dual: largest entry of the gradient of the Lagrangian.
        primal: largest |c|.
        complementarity: largest product of a multiplier and the distance to its bound.
        centrality: largest difference of such a product from μ.
        dual_scale, complementarity_scale: s_d and s_c, 1 unless multipliers are large.
        value: the objective, in the user's units.
        gap: what multipliers say is left to gain or owed for violations: Σ |λ c| and all products of bounds.
        size: of the scaled objective, at least 1.
        mean: of the products of multipliers of bounds and the distances to them.
    """

    theta: float
    phi: float
    dual: float
    primal: float
    complementarity: float
    centrality: float
    dual_scale: float
    complementarity_scale: float
    value: float
    gap: float
    size: float
    mean: float

    @property
    def error(self) -> float:
        """E_0, for μ = 0."""
        scaled = self.dual / self.dual_scale, self.complementarity / self.complementarity_scale
        return max(self.primal, *scaled)

    @property
    def barrier_error(self) -> float:
        """E_μ."""
        return max(self.primal, self.dual / self.dual_scale, self.centrality / self.complementarity_scale)


class Direction(NamedTuple):
    """A step d of all unknowns.

    Attributes:
        slope: ∇φᵀd.
        primal: the longest part of the step that keeps the unknowns within the bounds.
        dual: the same for the multipliers of the bounds.
        size: largest |d| / (1 + |v|).
        length: largest |d|.
        residual: of the linear system, relative.
        mu: the μ that it is for, where it chose.
    """

    slope: float
    primal: float
    dual: float
    size: float
    length: float
    residual: float
    mu: float = 0.0


class Trial(NamedTuple):
    """The values at a trial point, not finite where they are not.

    Attributes:
        theta: Σ |c|, of the scaled rows.
        phi: the barrier function.
        value: the objective, in the user's units.
        primal: largest |c|, scaled.
        lagrangian: φ + λ·c, with the multipliers of where the step begins.
    """

    theta: float
    phi: float
    value: float
    primal: float
    lagrangian: float


EVALUATED = (Step.TRY, Step.COMPARE, Step.LOOK, Step.MULTIPLIERS, Step.ENTER, Step.SPLIT, Step.LEAVE, Step.CONCEDE)
"""The questions that take an evaluation."""


class Inquiry(NamedTuple):
    """A question of a phase, with the numbers that it takes."""

    kind: Which
    number: tuple[float, ...]


def question(phase: int, step: Step, *numbers: float) -> Inquiry:
    """A question of a phase."""
    return Inquiry(Which(phase, step), numbers)
