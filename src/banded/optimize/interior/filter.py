"""The filter: which trial points are good enough (Wächter & Biegler 2006, §2.3)."""

import math
from dataclasses import dataclass, field

GAMMA_THETA, GAMMA_PHI = 1e-5, 1e-8  # margins by which a point has to be better
DELTA, S_THETA, S_PHI = 1.0, 1.1, 2.3  # of the switching condition
ETA = 1e-8  # of Armijo's condition
SHORTEST = 0.05  # times the step that theory asks for, below which restoration takes over
LOW, HIGH = 1e-4, 10.0  # of Σ |c| at the start, or of 1: where φ alone may decide, and what no point may have
TRIGGER, RESETS = 3, 5  # points in a row that took a step shortened by the filter, at which it is cleared; how often
HUGE, TINY = 1e100, 1e-300  # above which numbers have no powers, and below which they are no divisors
STEEPEST = 1.0  # orders of magnitude by which the barrier function may rise


@dataclass(frozen=True)
class Base:
    """Where a line search starts: Σ |c|, the barrier function, its slope along the step, and its rounding error."""

    theta: float
    phi: float
    slope: float
    noise: float

    def switches(self, length: float) -> bool:
        """Whether the step promises so much of the barrier function that it counts (eq. 19)."""
        return self.slope < 0 and length * _power(-self.slope, S_PHI) > DELTA * _power(self.theta, S_THETA)

    def decreases(self, length: float, phi: float) -> bool:
        """Armijo's condition (eq. 20)."""
        return phi - self.phi - self.noise <= ETA * length * self.slope


@dataclass
class Filter:
    """Pairs of Σ |c| and barrier function that no point may be worse than in both.

    Attributes:
        theta_min: Σ |c| up to which the barrier function alone may decide.
        theta_max: Σ |c| that no point may have.
    """

    theta_min: float
    theta_max: float
    _entries: list[tuple[float, float]] = field(default_factory=list)
    _blocked: bool = False  # whether it was a pair that ruled out the last trial
    _blocks: int = 0  # points in a row that were found after such
    _resets: int = 0

    @classmethod
    def at(cls, theta: float) -> "Filter":
        """Empty, from a start."""
        return cls(LOW * max(1.0, theta), HIGH * max(1.0, theta))

    def clear(self) -> None:
        """For another barrier function."""
        self._entries.clear()
        self._blocked, self._blocks = False, 0

    def add(self, base: Base) -> None:
        """Points have to be better than this one from now on (eq. 22)."""
        self._entries.append(((1 - GAMMA_THETA) * base.theta, base.phi - GAMMA_PHI * base.theta))

    def allows(self, theta: float, phi: float, noise: float) -> bool:
        """Whether no pair is better in both."""
        return theta <= self.theta_max and all(theta < a or phi - noise < b for a, b in self._entries)

    def accepts(self, base: Base, length: float, theta: float, phi: float) -> bool:
        """Whether a trial point is good enough to move there."""
        if not (math.isfinite(theta) and math.isfinite(phi)):
            return False
        rise = phi - base.phi
        if rise > 1 and math.log10(rise) > STEEPEST + max(1.0, math.log10(max(abs(base.phi), 1e-300))):
            return False
        if base.switches(length) and base.theta <= self.theta_min:
            better = base.decreases(length, phi)
        else:
            closer = theta <= (1 - GAMMA_THETA) * base.theta
            better = closer or rise - base.noise <= -GAMMA_PHI * base.theta
        allowed = better and self.allows(theta, phi, base.noise)
        if allowed:
            self._forgive()
        self._blocked = better and not allowed
        return allowed

    def _forgive(self) -> None:
        """Pairs from far away that stop step after step, by little each, are forgotten, a few times."""
        self._blocks = self._blocks + 1 if self._blocked else 0
        if self._blocks >= TRIGGER and self._resets < RESETS:
            self.clear()
            self._resets += 1

    def shortest(self, base: Base) -> float:
        """The part of a step below which none will do (eq. 23)."""
        least = GAMMA_THETA
        if base.slope < 0:
            least = min(least, GAMMA_PHI * base.theta / -base.slope)
            if base.theta <= self.theta_min:
                least = min(least, DELTA * _power(base.theta, S_THETA) / max(_power(-base.slope, S_PHI), TINY))
        return SHORTEST * least


def _power(number: float, exponent: float) -> float:
    """Where it would be beyond all floats, one that is large enough."""
    found: float = min(number, HUGE) ** exponent
    return found
