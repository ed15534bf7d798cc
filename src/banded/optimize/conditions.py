"""What holds at a point of a problem with constraints: multipliers, what is active, what is violated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from banded.hessian import Layout, Tree
from banded.hessian.lagrangian import Rules

SHOWN = 5  # constraints by name, of each kind
NOTHING = 1e-12  # violation up to which there is none to speak of
NEAR = 1e-4  # to its bound, beside the size of the unknown or of the constraint


@dataclass(frozen=True, eq=False)
class Multipliers:
    """Those of L = f + λ·c - ν·g - z_l·(x - lower) - z_u·(upper - x), whose gradient is zero at a minimum.

    ν and z are not negative, and zero, nearly, where their constraint is not active. They say how fast the minimum
    grows: by λ_i where c_i(x) = 0 becomes c_i(x) + ε = 0, by ν_i where g_i(x) >= 0 becomes g_i(x) >= ε, by z where a
    bound moves inwards; in units of f over those of the constraint.

    Attributes:
        equality: λ, in the shape of c(x); None where there is none.
        inequality: ν, in the shape of g(x); None where there is none.
        lower, upper: z, pytrees like x.
    """

    equality: Tree
    inequality: Tree
    lower: Tree
    upper: Tree


class Named(NamedTuple):
    """A constraint by its name, with a number: its multiplier, or by how much it is violated."""

    name: str
    number: float


@dataclass(frozen=True, eq=False)
class Conditions:
    """Constraints and bounds at a point, each as a vector.

    Attributes:
        constraints: the names of the rows.
        layout: the names of the unknowns.
        rows: `(m,)`: c(x) and g(x).
        multipliers: `(m,)`: λ and ν.
        room: `(2, n)`: x - lower and upper - x, infinite where there is no bound.
        pressure: `(2, n)`: z of both.
    """

    constraints: Rules = field(repr=False)
    layout: Layout = field(repr=False)
    rows: Tensor = field(repr=False)
    multipliers: Tensor = field(repr=False)
    room: Tensor = field(repr=False)
    pressure: Tensor = field(repr=False)

    @property
    def shortfall(self) -> Tensor:
        """`(m + 2 n,)`: by how much each row and each bound is violated."""
        kind = self.constraints.equalities
        short = torch.cat([self.rows[kind:], self.room.reshape(-1)]).clamp(max=0)
        return torch.cat([self.rows[:kind], short]).abs()

    @property
    def violation(self) -> float:
        """The largest of them."""
        return float(self.shortfall.max())

    def by_name(self) -> Multipliers:
        """The multipliers, in the shapes of what they belong to."""
        of_rows: dict[str, Tree] = self.constraints.split(self.multipliers) if len(self.rows) else {}
        lower, upper = (self.layout.unflatten(one) for one in self.pressure)
        return Multipliers(of_rows.get("equality"), of_rows.get("inequality"), lower, upper)

    def worst(self, count: int = SHOWN) -> list[Named]:
        """The constraints that are violated most, first."""
        return self._largest(self.shortfall, 0.0, count)

    def active(self, count: int = SHOWN) -> list[Named]:
        """Inequalities and bounds that hold x back, the largest multipliers first; fixed unknowns do not count.

        Such have a multiplier that is larger than what is left of the way to them: of these two, one is next to zero.
        Where there are two bounds, both are measured in the distance between them.
        """
        return self._largest(self.forces(), 0.0, count)

    def hardest(self, count: int = SHOWN) -> list[Named]:
        """Equalities with the largest multipliers: those that cost most."""
        kind = self.constraints.equalities
        forces = torch.zeros_like(self.shortfall)
        forces[:kind] = self.multipliers[:kind].abs()
        return self._largest(forces, 0.0, count)

    def count_active(self) -> int:
        """How many inequalities and bounds hold x back."""
        return int((self.forces() > 0).sum())

    def forces(self) -> Tensor:
        """`(m + 2 n,)`: the multipliers of inequalities and bounds that hold x back, zero for all others."""
        width = self.room.sum(0)  # between both bounds: the unit of an unknown that has two, lest its units matter
        unit = torch.where(width.isfinite(), width, 1)
        tight = (self.pressure * unit > self.room / unit) & (width > 0)
        rows = torch.where(self.multipliers > self.rows, self.multipliers, 0)
        rows[: self.constraints.equalities] = 0
        return torch.cat([rows, torch.where(tight, self.pressure, 0).reshape(-1)])

    def _largest(self, numbers: Tensor, above: float, count: int) -> list[Named]:
        values, order = numbers.topk(min(count, len(numbers)))
        return [
            Named(self.name(number), value)
            for value, number in zip(values.tolist(), order.tolist(), strict=True)
            if value > above
        ]

    def name(self, number: int) -> str:
        """Of a row, or of a bound: such as `equality[3, 1]`, or `x.u[4] >= lower`."""
        m, n = len(self.rows), self.layout.n
        if number < m:
            return self.constraints.label(number)
        side, unknown = divmod(number - m, n)
        return self.layout.label(unknown) + (" <= upper" if side else " >= lower")

    def sentences(self, *, feasible: bool) -> Iterator[str]:
        """What there is to say, in words."""
        worst = self.worst()
        violated = bool(worst) and worst[0].number > NOTHING
        yield f"Violated most: {_listed(worst)}." if violated else "Nothing is violated."
        active, count = self.active(), self.count_active()
        if not feasible:
            if active:
                yield f"What stands against them, {count} in all, by their share in it: {_listed(active)}."
            return
        if active:
            yield f"{count} inequalities and bounds hold x back, by their multipliers: {_listed(active)}."
        if hardest := self.hardest():
            yield f"The equalities that cost most, by their multipliers: {_listed(hardest)}."


def _listed(named: list[Named]) -> str:
    return ", ".join(f"{name} {number:.3g}" for name, number in named)
