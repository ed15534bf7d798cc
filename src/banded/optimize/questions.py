"""What a minimisation asks of the linear algebra, and what it is told: numbers only.

An algorithm here is a generator that holds no tensor: it asks, is answered, and decides. So the same lines minimise
one function or each of a batch, whose questions of a kind are answered together.
"""

from collections.abc import Generator
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias, TypeVar

Answer = TypeVar("Answer")


class Kind(IntEnum):
    """The kinds of questions; of a batch in step, those with the lower number are answered first."""

    ACCEPT = 0  # move to the point that was looked at last
    LARGEST = 1  # the largest absolute entry of the diagonal of H
    SIZE = 2  # the largest absolute entry of x
    STEEP = 3  # the largest absolute entry of g
    DIRECTION = 4  # p = -(H + number I)⁻¹ g
    DUAL = 5  # pᵀ (H + number I)⁻¹ p
    MINIMUM = 6  # whether H is positive definite with number times its row sums added to the diagonal
    CURVE = 7  # p = an eigenvector of the lowest eigenvalue of H, where H + number I is barely definite
    EDGE = 8  # p, so far the answer to DIRECTION, plus such an eigenvector: number long
    SCALE = 9  # a natural size of the gradient
    VALUE = 10  # f(x + number p)
    NOISE = 11  # how much f changes with the rounding errors of x
    LOOK = 12  # value, gradient and Hessian at x + number p


class Question(NamedTuple):
    """A kind and a number."""

    kind: Kind
    number: float = 0.0


LOOK, ACCEPT, DIRECTION = Question(Kind.LOOK, 1.0), Question(Kind.ACCEPT), Question(Kind.DIRECTION)  # asked often
Asking: TypeAlias = Generator[Question, Any, Answer]


class Point(NamedTuple):
    """What is known of a point that was looked at.

    Attributes:
        value: f there.
        gradient_norm: largest absolute entry of the gradient g.
        slope: gᵀp, along the direction that led there.
        finite: whether f, g and H are.
    """

    value: float
    gradient_norm: float
    slope: float
    finite: bool


class Ray(NamedTuple):
    """A direction p, with (H + shift I) p = -g unless it is an eigenvector.

    Attributes:
        slope: gᵀp.
        curvature: pᵀHp.
        length: Euclidean norm of p.
        shift: δ.
    """

    slope: float
    curvature: float
    length: float
    shift: float

    @property
    def promise(self) -> float:
        """By how much f would fall in a full step, if it were quadratic."""
        return -self.slope - 0.5 * self.curvature


def look(length: float) -> Asking[Point]:
    """Value, gradient and Hessian at x + length p, kept until `accept` or the next look."""
    point: Point = yield LOOK if length == 1 else Question(Kind.LOOK, length)
    return point


def value_at(length: float) -> Asking[float]:
    """f(x + length p)."""
    value: float = yield Question(Kind.VALUE, length)
    return value


def accept() -> Asking[None]:
    """Move to the point that was looked at last."""
    yield ACCEPT


def direction(shift: float) -> Asking[Ray | None]:
    """P = -(H + shift I)⁻¹ g, or None where that matrix is not positive definite."""
    ray: Ray | None = yield Question(Kind.DIRECTION, shift) if shift else DIRECTION
    return ray


def ask(kind: Kind, number: float = 0.0) -> Asking[float]:
    """A number for a number."""
    answer: float = yield Question(kind, number)
    return answer
