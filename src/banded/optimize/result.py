"""What a minimisation gives back: the point, how it went, and advice."""

from dataclasses import dataclass, field
from enum import Enum

from torch import Tensor

from banded.hessian import Tree


class Status(Enum):
    """Why a minimisation stopped; the value is advice."""

    CONVERGED = "The gradient is within the tolerance: x is a minimum to that accuracy."
    PRECISION = (
        "No step changes f by more than its rounding errors, so the gradient is as small as this dtype allows here. "
        "x is as good as it gets; for a smaller gradient use float64 or scale f, else raise the tolerance."
    )
    SADDLE = (
        "The gradient is as small as asked, or as rounding allows, and f curves downwards along some direction, but "
        "does not decrease along it: x is no minimum. f may be hidden by its rounding errors: use float64, or "
        "start from a point moved a little at random."
    )
    MAX_ITERATIONS = (
        "The iteration limit came first; x is the best point so far. "
        "Start again from it, or raise max_iterations; a better start, better scaled unknowns "
        "or an f without kinks (abs, relu, max) need fewer."
    )
    LINE_SEARCH = (
        "No point along the step has a lower f, though the gradient promises one. "
        "f may have a kink (abs, relu, max, clamp): smooth it, as sqrt(x**2 + small) does abs(x); "
        "or draw random numbers (dropout): fix them; or have a wrong custom derivative: try torch.autograd.gradcheck."
    )
    UNBOUNDED = (
        "f falls without limit along the steps. "
        "Look for a sign error or a missing term, or bound the unknowns by a barrier."
    )
    NON_FINITE = (
        "However short the step, f or its derivatives are not finite there; x is the last good point. "
        "Look for sqrt, norm or division at the edge of its domain, and add a small positive number inside."
    )
    INFEASIBLE = (
        "The equality constraints cannot be met near x: the penalty grew and their violation did not fall. "
        "Look for contradicting or dependent constraints, or start elsewhere."
    )
    BANDWIDTH = (
        "At x, f couples unknowns that the band does not hold: the steps were not Newton's, and nobody knows whether "
        "x is a minimum. Leave bandwidth out, or pass a larger one; with a Plan, make it anew at x."
    )
    INTERRUPTED = "Stopped by the user; x is the best point so far, and minimize(f, result.x) goes on from it."

    @property
    def success(self) -> bool:
        """Whether x is a minimum, as nearly as asked or as rounding allows."""
        return self in (Status.CONVERGED, Status.PRECISION)


@dataclass(frozen=True)
class Record:
    """One iteration, as a row of `result.history`.

    Attributes:
        iteration: Newton steps taken so far.
        value: f at this iterate, without penalty terms.
        gradient_norm: largest absolute entry of the gradient (of the
            augmented Lagrangian, where there are constraints).
        step: length of the step that led here, 1 for a full Newton step, 0 where none
            did: at the start, and again where the penalty changes.
        shift: what was added to the diagonal of H to leave from here.
        evaluations: function evaluations so far, with and without derivatives.
        seconds: since the start.
        violation: largest absolute constraint residual, or None.
        penalty: weight ρ of the squared constraint residuals, or None.
    """

    iteration: int
    value: float
    gradient_norm: float
    step: float
    shift: float
    evaluations: int
    seconds: float
    violation: float | None = None
    penalty: float | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """The outcome of `minimize`.

    Attributes:
        x: the best point, a pytree like the start.
        value: f(x).
        status: why it stopped; `status.value` is advice, `status.success` says
            whether x is a minimum.
        iterations: Newton steps taken.
        evaluations: function evaluations, with and without derivatives.
        gradient_norm: largest absolute entry of the gradient at x (of the
            Lagrangian, where there are constraints).
        seconds: wall-clock time.
        history: one `Record` per iterate, the start included.
        multipliers: λ of the equality constraints in f(x) + λ·c(x), in their shape, or None.
        violation: largest absolute entry of c(x), or None.
    """

    x: Tree = field(repr=False)
    value: float
    status: Status
    iterations: int
    evaluations: int
    gradient_norm: float
    seconds: float
    history: tuple[Record, ...] = field(repr=False)
    multipliers: Tensor | None = field(default=None, repr=False)
    violation: float | None = None

    @property
    def success(self) -> bool:
        """Whether x is a minimum, as nearly as asked or as rounding allows."""
        return self.status.success

    def __str__(self) -> str:
        constraint = "" if self.violation is None else f", violation {self.violation:.1e}"
        return (
            f"{self.status.name.lower().replace('_', ' ')}: f = {self.value:.10g}, gradient {self.gradient_norm:.1e}"
            f"{constraint}; {self.iterations} iterations, {self.evaluations} evaluations, {self.seconds:.3g} s\n"
            f"{self.status.value}"
        )
