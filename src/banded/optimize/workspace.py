"""The vectors and matrices of a minimisation, of one problem or of many, and the answers that they give."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from banded.checks import check_finite
from banded.matrix import Symmetric
from banded.optimize.questions import Kind, Point, Ray

SAMPLES = 4  # of the rounding error of f, where large terms may cancel in it
TURNS = 8  # of the inverse iteration
GROUPS = {Kind.LOOK: "derivatives", Kind.VALUE: "values", Kind.NOISE: "values"}


class Function(Protocol):
    """What is minimised, for the problems of some numbers."""

    def evaluate(self, x: Tensor, numbers: Tensor | None) -> tuple[Tensor, Tensor, Symmetric]:
        """Values `(A,)`, gradients `(A, n)` and Hessians at `x` `(A, n)`; None numbers all that there are."""
        ...

    def values(self, x: Tensor, numbers: Tensor | None) -> Tensor:
        """Values `(A,)` alone."""
        ...


@dataclass(eq=False)
class Place:
    """Points with what is known there: `x` and `gradient` `(A, n)`, `value` `(A,)`, `H` `(A, n, n)`."""

    x: Tensor
    value: Tensor
    gradient: Tensor
    H: Symmetric

    def matrix(self, row: int) -> Symmetric:
        """The Hessian of one of them."""
        return self.H.with_tensors(tuple(one[row] for one in self.H.tensors))

    def take(self, rows: Tensor) -> Place:
        """Some of them."""
        return Place(self.x[rows], self.value[rows], self.gradient[rows], _taken(self.H, rows))

    def put(self, rows: Tensor, other: Place) -> Place:
        """All of them, some replaced."""
        tensors = tuple(one.index_copy(0, rows, new) for one, new in zip(self.H.tensors, other.H.tensors, strict=True))
        return Place(
            self.x.index_copy(0, rows, other.x),
            self.value.index_copy(0, rows, other.value),
            self.gradient.index_copy(0, rows, other.gradient),
            self.H.with_tensors(tensors),
        )


@dataclass(eq=False)
class Workspace:
    """The state of A problems that go on; those that ended are dropped.

    Attributes:
        function: what is minimised.
        here: where the problems are.
        p: `(A, n)`: the directions that leave from there.
        there: where they looked last.
        shift: `(A,)`: δ of each.
        numbers: `(A,)`: the problem in each row; None while all are there.
        seconds: time spent, by what for.
    """

    function: Function
    here: Place
    p: Tensor
    shift: Tensor
    there: Place
    numbers: Tensor | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def at(cls, function: Function, x: Tensor, seconds: dict[str, float] | None = None) -> Workspace:
        """At a start `(A, n)`; time spent is added to `seconds`.

        Raises:
            NonFiniteError: if f or its gradient is not finite there.
        """
        seconds = {} if seconds is None else seconds
        begun = time.perf_counter()
        start = Place(x, *function.evaluate(x, None))
        seconds["derivatives"] = seconds.get("derivatives", 0.0) + time.perf_counter() - begun
        for number, (value, gradient) in enumerate(zip(start.value, start.gradient, strict=True)):
            check_finite(value, gradient, number if len(x) > 1 else None)
        return cls(
            function,
            start,
            torch.zeros_like(x),
            torch.zeros(len(x), dtype=torch.float64, device="cpu"),
            start,
            seconds=seconds,
        )

    @property
    def device(self) -> torch.device:
        """Of all tensors."""
        return self.p.device

    def starts(self) -> Sequence[Point]:
        """What is known of the start."""
        return _points(self.there, self.p)

    def answer(self, kind: Kind, rows: Tensor | None, numbers: Sequence[float]) -> Sequence[Any]:
        """The answers to questions of one kind from the problems in some rows; all of them if None."""
        begun = time.perf_counter()
        answers: Sequence[Any] = getattr(self, f"_{kind.name.lower()}")(rows, numbers)
        group = GROUPS.get(kind, "linear algebra")
        self.seconds[group] = self.seconds.get(group, 0.0) + time.perf_counter() - begun
        return answers

    def drop(self, kept: Tensor) -> None:
        """Keep the problems in these rows only."""
        old = torch.arange(len(self.p), device=self.p.device) if self.numbers is None else self.numbers
        self.numbers = old[kept]
        self.here, self.there = self.here.take(kept), self.there.take(kept)
        self.p, self.shift = self.p[kept], self.shift[kept.cpu()]

    def _accept(self, rows: Tensor | None, _numbers: Sequence[float]) -> Sequence[None]:
        self.here = self.there if rows is None else self.here.put(rows, self.there.take(rows))
        return [None] * len(self.p if rows is None else rows)

    def _look(self, rows: Tensor | None, lengths: Sequence[float]) -> Sequence[Point]:
        x, p = self._ahead(rows, lengths)
        there = Place(x, *self.function.evaluate(x, self._of(rows)))
        self.there = there if rows is None else self.there.put(rows, there)
        return _points(there, p)

    def _value(self, rows: Tensor | None, lengths: Sequence[float]) -> Sequence[float]:
        x, _ = self._ahead(rows, lengths)
        values: list[float] = self.function.values(x, self._of(rows)).tolist()
        return values

    def _direction(self, rows: Tensor | None, shifts: Sequence[float]) -> Sequence[Ray | None]:
        here = self.here if rows is None else self.here.take(rows)
        p, definite = _shifted(here.H, shifts).solve_where_definite(-here.gradient)
        self._turn(rows, p, shifts)
        answers = zip(
            *torch.stack([_dot(here.gradient, p), _dot(p, p)]).tolist(), definite.tolist(), shifts, strict=True
        )
        return [
            Ray(slope, -slope - shift * square, square**0.5, shift) if good else None
            for slope, square, good, shift in answers
        ]

    def _dual(self, rows: Tensor | None, shifts: Sequence[float]) -> Sequence[float]:
        H, p = self._part(rows)
        q, _ = _shifted(H, shifts).solve_where_definite(p)
        found: list[float] = _dot(p, q).tolist()
        return found

    def _curve(self, rows: Tensor | None, shifts: Sequence[float]) -> Sequence[Ray]:
        here = self.here if rows is None else self.here.take(rows)
        v = self._lowest(here.H, shifts)
        v = torch.where(_dot(here.gradient, v)[:, None] > 0, -v, v)  # downhill
        self._turn(rows, v, shifts)
        answers = torch.stack([_dot(here.gradient, v), _dot(v, here.H @ v)]).tolist()
        return [Ray(slope, curvature, 1.0, shift) for slope, curvature, shift in zip(*answers, shifts, strict=True)]

    def _edge(self, rows: Tensor | None, radii: Sequence[float]) -> Sequence[Ray]:
        here = self.here if rows is None else self.here.take(rows)
        p = self.p if rows is None else self.p[rows]
        shifts: list[float] = (self.shift if rows is None else self.shift[rows.cpu()]).tolist()
        v = self._lowest(here.H, shifts)
        v = torch.where(_dot(here.gradient, v)[:, None] > 0, -v, v)
        along = _dot(p, v)
        room = (p.new_tensor(radii).square() - _dot(p, p)).clamp(min=0)
        p = p + (room / (along + (along.square() + room).sqrt()).clamp(min=torch.finfo(p.dtype).tiny))[:, None] * v
        self._turn(rows, p, shifts)
        answers = torch.stack([_dot(here.gradient, p), _dot(p, here.H @ p), _dot(p, p)]).tolist()
        return [
            Ray(slope, bend, square**0.5, shift) for slope, bend, square, shift in zip(*answers, shifts, strict=True)
        ]

    def _lowest(self, H: Symmetric, shifts: Sequence[float]) -> Tensor:
        """Unit vectors that H + shift I, nearly singular, shrinks most, by inverse iteration."""
        generator = torch.Generator().manual_seed(0)
        v = torch.randn(*H.shape[:-1], generator=generator, dtype=torch.float64, device="cpu").to(H.band)
        shifted = _shifted(H, shifts)
        for _ in range(TURNS):
            v, _ = shifted.solve_where_definite(v / v.norm(dim=1, keepdim=True))
        unit: Tensor = v / v.norm(dim=1, keepdim=True)
        return unit

    def _minimum(self, rows: Tensor | None, shares: Sequence[float]) -> Sequence[bool]:
        H, p = self._part(rows)
        sums = H.row_sums()
        margin = torch.where(sums > 0, sums.new_tensor(shares)[:, None] * sums, 1.0)  # an empty row is flat
        found: list[bool] = H.add_diagonal(margin).solve_where_definite(torch.zeros_like(p))[1].tolist()
        return found

    def _noise(self, rows: Tensor | None, _numbers: Sequence[float]) -> Sequence[float]:
        here = self.here if rows is None else self.here.take(rows)
        generator = torch.Generator().manual_seed(0)
        ulp = torch.finfo(here.x.dtype).eps * here.x.abs()
        noise = torch.zeros_like(here.value)
        for _ in range(SAMPLES):
            signs = torch.randn(here.x.shape[1:], generator=generator, dtype=torch.float64, device="cpu")
            change = (self.function.values(here.x + ulp * signs.sign().to(here.x), self._of(rows)) - here.value).abs()
            noise = torch.where(change.isfinite(), torch.maximum(noise, change), noise)
        found: list[float] = noise.tolist()
        return found

    def _scale(self, rows: Tensor | None, _numbers: Sequence[float]) -> Sequence[float]:
        H, _ = self._part(rows)
        x = self.here.x if rows is None else self.here.x[rows]
        sizes: list[float] = (H.row_sums().amax(1) * x.abs().amax(1).clamp(min=1)).tolist()
        return sizes

    def _largest(self, rows: Tensor | None, _numbers: Sequence[float]) -> Sequence[float]:
        H, _ = self._part(rows)
        found: list[float] = H.diagonal().abs().amax(1).tolist()
        return found

    def _steep(self, rows: Tensor | None, _numbers: Sequence[float]) -> Sequence[float]:
        gradient = self.here.gradient if rows is None else self.here.gradient[rows]
        found: list[float] = gradient.abs().amax(1).tolist()
        return found

    def _size(self, rows: Tensor | None, _numbers: Sequence[float]) -> Sequence[float]:
        x = self.here.x if rows is None else self.here.x[rows]
        found: list[float] = x.abs().amax(1).tolist()
        return found

    def _part(self, rows: Tensor | None) -> tuple[Symmetric, Tensor]:
        return (self.here.H, self.p) if rows is None else (_taken(self.here.H, rows), self.p[rows])

    def _ahead(self, rows: Tensor | None, lengths: Sequence[float]) -> tuple[Tensor, Tensor]:
        """X + length p, and p."""
        x, p = (self.here.x, self.p) if rows is None else (self.here.x[rows], self.p[rows])
        if len(lengths) == 1:
            return x + lengths[0] * p, p
        return torch.addcmul(x, x.new_tensor(lengths)[:, None], p), p

    def _turn(self, rows: Tensor | None, p: Tensor, shifts: Sequence[float]) -> None:
        shift = torch.tensor(shifts, dtype=torch.float64, device="cpu")
        if rows is None:
            self.p, self.shift = p, shift
        else:
            self.p = self.p.index_copy(0, rows, p)
            self.shift = self.shift.index_copy(0, rows.cpu(), shift)

    def _of(self, rows: Tensor | None) -> Tensor | None:
        """The numbers of the problems in these rows."""
        if self.numbers is None:
            return rows
        return self.numbers if rows is None else self.numbers[rows]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    products: Tensor = torch.linalg.vecdot(a, b)
    return products


def _points(there: Place, p: Tensor) -> Sequence[Point]:
    """What is known of points that directions led to."""
    total = sum((one.reshape(len(p), -1).sum(1) for one in there.H.tensors), there.gradient.sum(1) + there.value)
    largest = there.gradient.abs().amax(1)
    answers = torch.stack([there.value, largest, _dot(there.gradient, p), total]).T.tolist()
    # of finite numbers the sum is finite, but for an overflow, which is as bad
    return [Point(value, norm, slope, math.isfinite(total)) for value, norm, slope, total in answers]


def _taken(H: Symmetric, rows: Tensor) -> Symmetric:
    return H.with_tensors(tuple(one[rows] for one in H.tensors))


def _shifted(H: Symmetric, shifts: Sequence[float]) -> Symmetric:
    """H + shift I, for each its own."""
    if not any(shifts):
        return H
    return H.add_diagonal(torch.tensor(shifts, dtype=H.dtype, device=H.device)[:, None].expand(H.shape[:-1]))
