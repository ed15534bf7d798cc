"""Functions of one point of a trajectory, with all their derivatives at all points at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from banded.hessian.compiled import compile_value
from banded.hessian.data import WithData, of_vector
from banded.hessian.engine import Choice, choose
from banded.hessian.layout import layout
from banded.hessian.planning import MEMORY
from banded.hessian.products import each_over_batch, loop, over_batch, value_of

LEAST, MOST = 8, 1024  # points in a compiled pass, which then works within the cache
AGREED = 1e-6  # relative difference of two engines that is a matter of rounding


class Looked(NamedTuple):
    """At the points of A problems, E each.

    Attributes:
        outputs: y `(A, E, ny)`.
        gradient: of μ·y in the arguments, `(A, E, na)`.
        products: `(A, E, na, na + ny)`: by argument, the Hessian of μ·y and then the derivatives of y.
    """

    outputs: Tensor
    gradient: Tensor
    products: Tensor


@dataclass(frozen=True, eq=False)
class Stage:
    """A function of one point, and the points at which it is evaluated.

    Attributes:
        name: for messages.
        function: takes arguments `(na,)` and data `(nd,)`, returns outputs `(ny,)`.
        places: `(E, na)`: the unknowns that are the arguments at each point.
        data: `(E, nd)`: what does not depend on unknowns there.
        outputs: ny.
        weights: `(E, ny)`: of the outputs in the objective.
        told: `(ny,)`: names of the outputs, or none.
        at_ends: whether it speaks of ends of phases alone, and not of the motion between.
        phase: the number of the phase whose it is; None where it is of two.
        inside: what it evaluates on its way, for messages: `(k, 1 + ny)`, s and then the outputs there; or None.
    """

    name: str
    function: Callable[[Tensor, Tensor], Tensor]
    places: Tensor
    data: Tensor
    outputs: int
    weights: Tensor
    told: tuple[str, ...] = ()
    at_ends: bool = False
    phase: int | None = 0
    inside: Callable[[Tensor, Tensor], Tensor] | None = None

    @property
    def count(self) -> int:
        """E, the number of points."""
        return len(self.places)

    @property
    def arguments(self) -> int:
        """Na."""
        return self.places.shape[1]

    def blamed(self, x: Tensor, point: int, output: int) -> tuple[str, float]:
        """Which output is not finite at unknowns `(n,)`, and where in s, as far inside as is known.

        Args:
            x: the unknowns.
            point: where an output is not finite.
            output: its number.
        """
        s = float(self.data[point, 0]) if self.data.shape[1] else 1.0
        if self.inside is not None:
            found = self.inside(x[self.places[point]], self.data[point])
            bad = (~found.isfinite()).nonzero().tolist()
            if bad:
                s, output = float(found[bad[0][0], 0]), bad[0][1] - 1
        return self.told[output] if self.told else self.name, s


class Engine(NamedTuple):
    """How a stage is evaluated at so many points at once.

    Attributes:
        choice: for derivatives of μ·y in (arguments, μ).
        values: y alone.
        traced: y with a graph.
        functions: behind them, to be fed with data.
    """

    choice: Choice
    values: Callable[[Tensor], Tensor]
    traced: Callable[[Tensor], Tensor]
    functions: tuple[WithData[Tensor], WithData[Tensor]]

    def feed(self, data: Tensor) -> None:
        """Take these data `(P, nd)` from now on."""
        for function in self.functions:
            function.feed(data)


Engines: TypeAlias = dict[tuple[str, int | None, int], Engine]
"""Compiled engines that serve all grids of a problem, by stage, phase and number of points."""


class Differentiated:
    """A stage with an engine for its derivatives: μ·y of (arguments, μ), whose products with na probes hold them all.

    Compiled, it takes points in pieces of a few sizes, filled up, so that one graph serves all grids and batches.

    Args:
        stage: as it is.
        point: `(A, n)`: where the engine is tried.
        compile: whether the engine is to be compiled.
        engines: compiled ones that there are; new ones are added.
        memory: bytes that a vectorised pass may take, about.
    """

    def __init__(self, stage: Stage, point: Tensor, compile: bool, engines: Engines, memory: int = MEMORY) -> None:
        self.stage = stage
        self._probes = torch.eye(
            stage.arguments, stage.arguments + stage.outputs, dtype=point.dtype, device=point.device
        )
        self._data: dict[int, Tensor] = {}
        many = self._vectors(point, point.new_ones(len(point), stage.count, stage.outputs))
        data = self._fed(len(point))
        if not compile:
            self._size, self._engine = len(many), self._made(many, data, memory, False)
            return
        self._size = _size(len(many))
        key = stage.name, stage.phase, self._size
        if key not in engines:
            engines[key] = self._made(_filled(many, self._size), _filled(data, self._size), memory, True)
        self._engine = engines[key]

    @property
    def choice(self) -> Choice:
        """How derivatives are computed."""
        return self._engine.choice

    def values(self, x: Tensor) -> Tensor:
        """Y `(A, E, ny)` at unknowns `(A, n)`."""
        return self._split(
            self._in_pieces(lambda one: (self._engine.values(one),), self._arguments(x), len(x))[0], len(x)
        )

    def traced(self, x: Tensor) -> Tensor:
        """The same with a graph."""
        self._engine.feed(self._fed(len(x)))
        return self._split(self._engine.traced(self._arguments(x)), len(x))

    def look(self, x: Tensor, multipliers: Tensor) -> Looked:
        """Everything at unknowns `(A, n)` and μ `(A, E, ny)`."""
        na = self.stage.arguments
        found = self._in_pieces(
            lambda one: self._engine.choice.run(one, self._probes)[1:], self._vectors(x, multipliers), len(x)
        )
        gradient, products = (self._split(one, len(x)) for one in found)
        return Looked(gradient[..., na:], gradient[..., :na], products)

    def _in_pieces(self, run: Callable[[Tensor], Sequence[Tensor]], vectors: Tensor, count: int) -> Sequence[Tensor]:
        """The results for vectors `(P, ...)` of so many problems."""
        data = self._fed(count)
        if self.choice.name != "compiled" or len(vectors) == self._size:
            self._engine.feed(data)
            return run(vectors)
        whole: list[Tensor] = []
        for first in range(0, len(vectors), self._size):
            piece, of = vectors[first : first + self._size], data[first : first + self._size]
            self._engine.feed(_filled(of, self._size))
            found = run(_filled(piece, self._size))
            whole = whole or [one.new_empty(len(vectors), *one.shape[1:]) for one in found]
            for part, one in zip(whole, found, strict=True):
                part[first : first + len(piece)] = one[: len(piece)]
        return whole

    def _arguments(self, x: Tensor) -> Tensor:
        """`(A E, na)`."""
        return x[:, self.stage.places].flatten(0, 1)

    def _split(self, found: Tensor, count: int) -> Tensor:
        """`(A E, ...)` as `(A, E, ...)`."""
        return found.reshape(count, self.stage.count, *found.shape[1:])

    def _vectors(self, x: Tensor, multipliers: Tensor) -> Tensor:
        return torch.cat([x[:, self.stage.places], multipliers], 2).flatten(0, 1)

    def _fed(self, count: int) -> Tensor:
        """The data of so many problems, `(A E, nd)`."""
        if count not in self._data:
            self._data[count] = self.stage.data.repeat(count, 1)
        return self._data[count]

    def _made(self, many: Tensor, data: Tensor, memory: int, compile: bool) -> Engine:
        """An engine for so many points as there are in `many`."""
        na, function = self.stage.arguments, self.stage.function

        def scalar(vector: Tensor, data: Tensor) -> Tensor:
            return (vector[na:] * function(vector[:na], data)).sum()

        def attached(vector: Tensor, data: Tensor) -> Tensor:
            return scalar(vector, data) + 0 * vector.dot(vector)

        # outputs that are constant, if only in one branch, need a graph: it costs time where points are many
        needed = self.stage.count == 1 or not _has_graph(function, many[0, :na], data[0])
        weighted = of_vector(attached if needed else scalar, layout(many, None, 1), (data,), residuals=False)
        plain = of_vector(function, layout(many[:, :na], None, 1), (data,), residuals=False)
        assert isinstance(weighted, WithData) and isinstance(plain, WithData)
        choice = self._checked(weighted, choose(weighted, many, self._probes, memory, compile), many)
        each = each_over_batch(plain, 1, vectorised=choice.vectorised, check=lambda _value, _x: None)
        values = value_of(compile_value(each) if choice.name == "compiled" else each)
        return Engine(choice, values, each, (weighted, plain))

    def _checked(self, weighted: WithData[Tensor], choice: Choice, many: Tensor) -> Choice:
        """The engine, if it agrees with the plainest one: some of PyTorch's rules are wrong (pytorch #192540)."""
        found = choice.run(many, self._probes)[2]
        for number in sorted({0, len(many) // 3, 2 * len(many) // 3, len(many) - 1}):
            wanted = loop(weighted.of(number))(many[number], self._probes)[2]
            if not bool(((found[number] - wanted).abs() <= AGREED * wanted.abs().amax().clamp(min=1)).all()):
                slow = over_batch(weighted, 1, vectorised=False)
                reason = f"the {choice.name} one differs from it, by a fault of PyTorch's"
                return Choice("loop", reason, loop(slow), value_of(slow), False)
        return choice


def _has_graph(function: Callable[[Tensor, Tensor], Tensor], point: Tensor, data: Tensor) -> bool:
    """Whether outputs depend on the arguments at a point."""
    with torch.inference_mode(mode=False), torch.enable_grad():
        return function(point.clone().requires_grad_().clone(), data.clone()).requires_grad


def _size(points: int) -> int:
    """Of the pieces for so many points: a power of two, or as few as there are."""
    if points <= LEAST:
        return points
    return min(MOST, 1 << (points - 1).bit_length())


def _filled(rows: Tensor, size: int) -> Tensor:
    """`(size, ...)`: the first rows, the last one again and again where there are fewer."""
    missing = size - len(rows)
    return rows[:size] if missing <= 0 else torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])])
