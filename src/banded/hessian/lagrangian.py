"""The Lagrangian of a problem with constraints, with all its derivatives from one pass.

As a function of x, of the multipliers and of a factor of the objective, Λ(x, λ, σ) = σ f(x) + λ·r(x), it is a function
like any other. Its gradient holds ∇f and Jᵀλ together, the constraints r, and f; its Hessian times a probe of x
holds the product with the Hessian in x and that with the Jacobian J of r.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from banded.compiling import outside_graphs
from banded.hessian.constraints import Constraints
from banded.hessian.data import AnyFunction, data_of, of_vector
from banded.hessian.engine import Choice, eager_engine
from banded.hessian.extraction import Extraction
from banded.hessian.layout import Layout, Tree, layout
from banded.hessian.products import Function, loop, over_batch
from banded.hessian.recover import take
from banded.hessian.verify import Witness, testify
from banded.matrix import Symmetric
from banded.matrix.rows import Rows


class Derivatives(NamedTuple):
    """All that is known of A problems at a point.

    Attributes:
        value: f, `(A,)`, not multiplied by σ.
        rows: r, `(A, m)`.
        gradient: σ ∇f + Jᵀλ, `(A, n)`.
        J: `(A, m, n)`.
        H: the Hessian of Λ in x, `(A, n, n)`.
    """

    value: Tensor
    rows: Tensor
    gradient: Tensor
    J: Rows
    H: Symmetric


class Rules(Protocol):
    """The names of constraints, those that are to be zero first."""

    @property
    def m(self) -> int:
        """How many they are."""
        ...

    @property
    def equalities(self) -> int:
        """How many of them, the first, are to be zero."""
        ...

    def label(self, row: int) -> str:
        """The name of one."""
        ...

    def split(self, rows: Tensor) -> dict[str, Tree]:
        """Numbers of all `(..., m)`, as users know them: "equality" and "inequality", where there are any."""
        ...


class ConstrainedPlan(ABC):
    """Where derivatives of a problem with constraints come from: all of Λ(x, λ, σ) = σ f(x) + λ·r(x), at a point.

    Attributes:
        layout: of the unknowns.
        constraints: the names of the rows of r.
    """

    layout: Layout
    constraints: Rules

    @property
    def n(self) -> int:
        """Number of unknowns of one problem."""
        return self.layout.n

    @property
    def m(self) -> int:
        """Number of constraints of one problem."""
        return self.constraints.m

    @property
    def dtype(self) -> torch.dtype:
        """Of the functions."""
        return self.layout.dtype

    @property
    def batch(self) -> bool:
        """Whether it is for many problems at once."""
        return bool(self.layout.batch)

    @abstractmethod
    def evaluate(
        self, x: Tensor, multipliers: Tensor, factor: Tensor | None, rows: Tensor | None = None
    ) -> Derivatives:
        """Everything at `x` `(A, n)`, `multipliers` `(A, m)` and σ `(A,)`, of the problems of these numbers.

        Without a factor, it is that of λ·r(x), and the value is 0. The tensors are new ones, the caller's to change.
        """

    @abstractmethod
    def values_at(self, x: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """F `(A,)` and r `(A, m)` alone, at `x` `(A, n)`."""

    @abstractmethod
    def traced(self, point: Tensor) -> Tensor:
        """Λ `(A,)` of all problems with its graph, at (x, λ, σ) `(A, n + m + 1)`."""

    @abstractmethod
    def select(self, rows: Tensor | None) -> None:
        """Evaluate the problems of a batch with these numbers only from now on; all if None."""

    @abstractmethod
    def leaks(self, x: Tensor, multipliers: Tensor, factor: Tensor, rows: Tensor | None = None) -> Tensor:
        """`(A,)`: the largest entry of a random product that H and J of `evaluate` do not explain, or 0."""


@dataclass(frozen=True, eq=False)
class LagrangianPlan(ConstrainedPlan):
    """How to evaluate a Lagrangian with its derivatives, made once.

    Attributes:
        layout: how the unknowns of the pytree x make up one vector of n.
        constraints: the functions behind r, and the names of its rows.
        of_vector: Λ as a function of (x, λ, σ), one vector of n + m + 1.
        of_rows: the same without f, for where f does not matter and need not be finite.
        of_values: f and r of one problem as a function of x, `(n,)` to `(1 + m,)`.
        values: the same of all, without a graph.
        extraction: where the Hessian has entries, in the order in which H + JᵀJ is a band, and how they are read.
        choice: how products are computed.
        probes: `(c, n + m + 1)`.
        columns: `(m, w)`: where J has entries.
        reading: `(m, w)`: where in the products these stand.
        absent: `(m, w)`: which of them only fill up a row; None where none do.
        point: `(*batch, n + m + 1)`: where the plan was made.
        memory: bytes that a vectorised pass may take, about.
    """

    layout: Layout
    constraints: Constraints
    of_vector: AnyFunction
    of_rows: AnyFunction
    of_values: AnyFunction
    values: Function
    extraction: Extraction
    choice: Choice
    probes: Tensor
    columns: Tensor
    reading: Tensor
    absent: Tensor | None
    point: Tensor
    memory: int

    @outside_graphs
    def evaluate(
        self, x: Tensor, multipliers: Tensor, factor: Tensor | None, rows: Tensor | None = None
    ) -> Derivatives:
        """As `ConstrainedPlan` has it."""
        choice = self.choice if factor is not None else self._without_objective
        point = torch.cat([x, multipliers, x.new_zeros(len(x), 1) if factor is None else factor[:, None]], 1)
        self.select(rows)
        if self.batch:
            _, gradient, products = choice.run(point, self.probes)
        else:
            _, gradient, products = (one[None] for one in choice.run(point[0], self.probes))
        n, m = self.n, self.m
        values = take(products, self.reading)
        if self.absent is not None:
            values.masked_fill_(self.absent, 0)
        return Derivatives(
            gradient[:, -1].contiguous(),
            gradient[:, n : n + m].contiguous(),
            gradient[:, :n].contiguous(),
            Rows(self.columns, values, n),
            self.extraction.recover(products[..., :n]),
        )

    @cached_property
    def _without_objective(self) -> Choice:
        self.select(None)
        return eager_engine(self.of_rows, self.point, self.memory)

    @outside_graphs
    def values_at(self, x: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """F `(A,)` and r `(A, m)` alone, at `x` `(A, n)`."""
        self.select(rows)
        both = self.values(x) if self.batch else self.values(x[0])[None]
        return both[:, 0], both[:, 1:]

    def traced(self, point: Tensor) -> Tensor:
        """As `ConstrainedPlan` has it."""
        self.select(None)
        function = over_batch(self.of_vector, int(self.batch), vectorised=self.choice.vectorised)
        return function(point) if self.batch else function(point[0])[None]

    def select(self, rows: Tensor | None) -> None:
        """As `ConstrainedPlan` has it."""
        for function in (self.of_vector, self.of_rows, self.of_values):
            data = data_of(function)
            if data is not None:
                data.select(rows if self.batch else None)  # those of one problem are no rows

    def leaks(self, x: Tensor, multipliers: Tensor, factor: Tensor, rows: Tensor | None = None) -> Tensor:
        """`(A,)`: the largest entry of a random product of the plainest engine that H and J do not explain, or 0."""
        found, n, m = self.evaluate(x, multipliers, factor, rows), self.n, self.m
        point = torch.cat([x, multipliers, factor[:, None]], 1)
        plain = loop(over_batch(self.of_vector, int(self.batch), vectorised=self.choice.vectorised))

        def products(point: Tensor, probes: Tensor) -> Tensor:
            whole = torch.nn.functional.pad(probes, (0, m + 1))
            shown = plain(point, whole)[2] if self.batch else plain(point[0], whole)[2][None]
            return shown[..., : n + m]

        generator = torch.Generator().manual_seed(5)
        witness = testify(lambda at, probes: products(_with(point, at), probes)[..., :n], x, generator)
        leaks = witness.leaks(found.H)
        return torch.maximum(leaks, self._of_rows(witness, products(point, witness.v[None])[..., 0, n:], found.J))

    def __str__(self) -> str:
        batch = f" in each of {self.layout.batch.numel()} problems" if self.layout.batch else ""
        return (
            f"Plan for {self.n} unknowns with {self.m} constraints{batch}, {self.extraction.structure}: "
            f"{len(self.probes)} products, {self.choice.name} ({self.choice.reason})"
        )

    def __repr__(self) -> str:
        return f"<{self}>"

    def _of_rows(self, witness: Witness, shown: Tensor, J: Rows) -> Tensor:
        if not self.m:
            return shown.new_zeros(len(shown))
        v = witness.v.expand(*J.values.shape[:-2], -1)
        difference = (shown - J @ v).abs()
        scale = J.with_values(J.values.abs()) @ v.abs() + shown.abs()
        fine = difference <= torch.finfo(shown.dtype).eps ** (2 / 3) * scale
        return torch.where(fine, 0, difference.nan_to_num(float("inf"))).amax(-1)


def _with(point: Tensor, x: Tensor) -> Tensor:
    return torch.cat([x, point[:, x.shape[-1] :]], 1)


def lagrangian(
    f: Callable[..., Tensor], given: Constraints, where: Layout, args: Sequence[Any], point: Tensor
) -> tuple[AnyFunction, AnyFunction, AnyFunction]:
    """Λ of one problem as a function of (x, λ, σ), with f and without; f and r as one of x; with the data of all."""
    n = where.n

    def whole(vector: Tensor, *args: Any) -> Tensor:
        x = where.unflatten(vector[:n])
        value = vector[-1] * f(x, *args)
        return value + (vector[n:-1] * given.rows(x, *args)).sum() if given.groups else value

    def rows(vector: Tensor, *args: Any) -> Tensor:
        return (vector[n:-1] * given.rows(where.unflatten(vector[:n]), *args)).sum()

    def values(vector: Tensor, *args: Any) -> Tensor:
        x = where.unflatten(vector)
        value = f(x, *args)[None]
        return torch.cat([value, given.rows(x, *args)]) if given.groups else value

    of_point, of_x = layout(point, None, len(where.batch)), layout(point[..., :n], None, len(where.batch))
    return (
        of_vector(whole, of_point, args, residuals=False),
        of_vector(rows, of_point, args, residuals=False),
        of_vector(values, of_x, args, residuals=False),
    )
