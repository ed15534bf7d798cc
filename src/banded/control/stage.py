"""Functions of one point of a trajectory, with all their derivatives at all points at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from banded.hessian.compiled import compile_value
from banded.hessian.data import WithData, of_vector
from banded.hessian.engine import Choice, choose
from banded.hessian.layout import layout
from banded.hessian.planning import MEMORY
from banded.hessian.products import each_over_batch, loop, over_batch, value_of

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
    """

    name: str
    function: Callable[[Tensor, Tensor], Tensor]
    places: Tensor
    data: Tensor
    outputs: int
    weights: Tensor
    told: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """E, the number of points."""
        return len(self.places)

    @property
    def arguments(self) -> int:
        """Na."""
        return self.places.shape[1]


class Differentiated:
    """A stage with an engine for its derivatives: μ·y of (arguments, μ), whose products with na probes hold them all.

    Args:
        stage: as it is.
        point: `(A, n)`: where the engine is tried.
        compile: whether the engine is to be compiled.
        memory: bytes that a vectorised pass may take, about.
    """

    def __init__(self, stage: Stage, point: Tensor, compile: bool, memory: int = MEMORY) -> None:
        self.stage = stage
        self._rows: dict[int, Tensor] = {}
        na, ny = stage.arguments, stage.outputs

        def scalar(vector: Tensor, data: Tensor) -> Tensor:
            return (vector[na:] * stage.function(vector[:na], data)).sum()

        many = self._vectors(point, point.new_ones(len(point), stage.count, ny))
        data = (stage.data.repeat(len(point), 1),)
        self._scalar = of_vector(scalar, layout(many, None, 1), data, residuals=False)
        self._probes = torch.eye(na, na + ny, dtype=point.dtype, device=point.device)
        self.choice = self._checked(choose(self._scalar, many, self._probes, memory, compile), many)
        plain = of_vector(stage.function, layout(many[:, :na], None, 1), data, residuals=False)
        self._each = each_over_batch(plain, 1, vectorised=self.choice.vectorised, check=lambda _value, _x: None)
        assert isinstance(self._scalar, WithData) and isinstance(plain, WithData)
        self._functions = self._scalar, plain
        self._values = value_of(compile_value(self._each) if self.choice.name == "compiled" else self._each)

    def values(self, x: Tensor) -> Tensor:
        """Y `(A, E, ny)` at unknowns `(A, n)`."""
        self._select(len(x))
        found: Tensor = self._values(self._arguments(x))
        return self._split(found, len(x))

    def traced(self, x: Tensor) -> Tensor:
        """The same with a graph."""
        self._select(len(x))
        return self._split(self._each(self._arguments(x)), len(x))

    def look(self, x: Tensor, multipliers: Tensor) -> Looked:
        """Everything at unknowns `(A, n)` and μ `(A, E, ny)`."""
        self._select(len(x))
        na = self.stage.arguments
        _, gradient, products = self.choice.run(self._vectors(x, multipliers), self._probes)
        gradient, products = self._split(gradient, len(x)), self._split(products, len(x))
        return Looked(gradient[..., na:], gradient[..., :na], products)

    def _arguments(self, x: Tensor) -> Tensor:
        """`(A E, na)`."""
        return x[:, self.stage.places].flatten(0, 1)

    def _split(self, found: Tensor, count: int) -> Tensor:
        """`(A E, ...)` as `(A, E, ...)`."""
        return found.reshape(count, self.stage.count, *found.shape[1:])

    def _vectors(self, x: Tensor, multipliers: Tensor) -> Tensor:
        return torch.cat([x[:, self.stage.places], multipliers], 2).flatten(0, 1)

    def _select(self, count: int) -> None:
        """The data of so many problems."""
        if count not in self._rows:
            self._rows[count] = torch.arange(self.stage.count, device=self.stage.data.device).repeat(count)
        for function in self._functions:
            function.select(self._rows[count])

    def _checked(self, choice: Choice, many: Tensor) -> Choice:
        """The engine, if it agrees with the plainest one: some of PyTorch's rules are wrong (pytorch #192540)."""
        assert isinstance(self._scalar, WithData)
        found = choice.run(many, self._probes)[2]
        for number in sorted({0, len(many) // 3, 2 * len(many) // 3, len(many) - 1}):
            wanted = loop(self._scalar.of(number))(many[number], self._probes)[2]
            if not bool(((found[number] - wanted).abs() <= AGREED * wanted.abs().amax().clamp(min=1)).all()):
                slow = over_batch(self._scalar, 1, vectorised=False)
                reason = f"the {choice.name} one differs from it, by a fault of PyTorch's"
                return Choice("loop", reason, loop(slow), value_of(slow), False)
        return choice
