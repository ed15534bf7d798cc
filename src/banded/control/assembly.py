"""From outputs and derivatives at single points to rows, Jacobian and Hessian of the whole: index arithmetic alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from banded.control import scatter
from banded.control.equations import Equations, Slots, Term
from banded.control.stage import Looked, Stage
from banded.matrix import Bordered, Symmetric, SymmetricBanded
from banded.matrix.rows import Rows


@dataclass(frozen=True, eq=False)
class Block:
    """The rows of some equations.

    Attributes:
        first, end: which they are.
        equations: as they are.
        slots: their entries.
    """

    first: int
    end: int
    equations: Equations
    slots: Slots

    def part(self, whole: Tensor) -> Tensor:
        """`(A, K, R, ...)`: their part of `(A, m, ...)`, as a view."""
        shape = len(whole), self.equations.count, self.equations.size, *whole.shape[2:]
        return whole[:, self.first : self.end].view(shape)


class Assembly:
    """Where everything goes.

    Args:
        stages: functions of points.
        equations: in the order of the rows.
        places: where the entries of their Jacobians are.
        n: unknowns.
        border: how many of them, the last ones, couple to everything.
        like: of the dtype and on the device of all.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        equations: Sequence[Equations],
        places: Sequence[Slots],
        n: int,
        border: int,
        like: Tensor,
    ) -> None:
        self._stages, self._n, self._core, self._border = tuple(stages), n, n - border, border
        self._like = like
        self._blocks, first = [], 0
        for one, slot in zip(equations, places, strict=True):
            self._blocks.append(Block(first, first + one.total, one, slot))
            first += one.total
        self._m = first
        self._width = max((block.slots.columns.shape[2] for block in self._blocks), default=1)
        self.columns = torch.cat([_padded(block.slots.columns, self._width).flatten(0, 1) for block in self._blocks])
        constants = [
            _padded(block.slots.constant, self._width, zeros=True).expand(block.equations.count, -1, -1).flatten(0, 1)
            for block in self._blocks
        ]
        self._linear = Rows(self.columns, torch.cat(constants).to(like), n)
        self._right = torch.cat([_right(block.equations).to(like) for block in self._blocks])
        self._bandwidth = self._span()
        self._targets = [self._target(stage) for stage in self._stages]
        self._weights = [stage.weights.to(like) for stage in self._stages]
        columns = [weights.any(0).nonzero()[:, 0] for weights in self._weights]
        self._counted = [(which, weights[:, which]) for which, weights in zip(columns, self._weights, strict=True)]
        self._terms = [self._terms_of(number) for number in range(len(self._stages))]

    def _span(self) -> int:
        """The half-bandwidth of H + JᵀJ, the border aside."""
        tables = [self.columns, *(stage.places for stage in self._stages)]
        spans = []
        for table in tables:
            inside = table < self._core
            low = torch.where(inside, table, self._core).amin(1)
            high = torch.where(inside, table, -1).amax(1)
            spans.append(int((high - low).clamp(min=0).max()))
        return max(spans)

    def _target(self, stage: Stage) -> tuple[Tensor, Tensor, Tensor]:
        """For pairs of arguments: which they are `(L, 2)`, and in which cell of the storage of H each point adds."""
        na, p, core = stage.arguments, self._border, self._core
        a, b = torch.tril_indices(na, na)
        high = torch.maximum(stage.places[:, a], stage.places[:, b])
        low = torch.minimum(stage.places[:, a], stage.places[:, b])
        band = (high - low) * core + low
        edge = (self._bandwidth + 1) * core + (high - core) * core + low
        corner = (self._bandwidth + 1) * core + p * core + (high - core) * p + (low - core)
        cell = torch.where(high < core, band, torch.where(low < core, edge, corner))
        return a, b, cell

    def _terms_of(self, number: int) -> list[tuple[Term, Block, Tensor, Tensor]]:
        """The outputs of a stage in rows: with their coefficients, and with the positions of their arguments."""
        return [
            (term, block, term.coefficients.to(self._like), positions)
            for block in self._blocks
            for term, positions in zip(block.equations.terms, block.slots.positions, strict=True)
            if term.stage == number
        ]

    def weights(self, multipliers: Tensor, factor: Tensor | None) -> list[Tensor]:
        """Μ `(A, E, ny)` of each stage: what its outputs count in σ f + λ·r."""
        found = []
        for number, weights in enumerate(self._weights):
            mu = weights.expand(len(multipliers), -1, -1)
            mu = torch.zeros_like(mu) if factor is None else factor[:, None, None] * mu
            for term, part, coefficients, _ in self._terms[number]:
                scatter.add_weights(mu, term.points, coefficients, term.first, part.part(multipliers))
            found.append(mu)
        return found

    def value(self, outputs: Sequence[Tensor]) -> Tensor:
        """The objective `(A,)`."""
        return sum(self.parts(outputs), outputs[0].new_zeros(len(outputs[0])))

    def parts(self, outputs: Sequence[Tensor]) -> list[Tensor]:
        """What each stage adds to it, `(A,)`."""
        return [
            (weights * y[:, :, columns]).sum((1, 2)) if len(columns) else y.new_zeros(len(y))
            for (columns, weights), y in zip(self._counted, outputs, strict=True)
        ]

    def of_ends(self, multipliers: Tensor) -> Tensor:
        """Those `(m,)` of equations that speak of ends alone, and 0 for all others."""
        found = torch.zeros_like(multipliers)
        for block in self._blocks:
            if block.equations.at_ends:
                found[block.first : block.end] = multipliers[block.first : block.end]
        return found

    def linear(self, x: Tensor) -> Tensor:
        """What of r is linear in x, `(A, m)`."""
        return (self._linear.values * x[:, self.columns]).sum(2) - self._right

    def rows(self, x: Tensor, outputs: Sequence[Tensor]) -> Tensor:
        """R `(A, m)`."""
        found = self._linear.with_values(self._linear.values.expand(len(x), -1, -1)) @ x - self._right
        for terms, y in zip(self._terms, outputs, strict=True):
            for term, block, coefficients, _ in terms:
                scatter.add_outputs(block.part(found), term.points, coefficients, term.first, y)
        return found

    def derivatives(
        self, x: Tensor, multipliers: Tensor, looked: Sequence[Looked]
    ) -> tuple[Tensor, Tensor, Rows, Symmetric]:
        """R `(A, m)`, the gradient `(A, n)`, J and H."""
        found = self.rows(x, [one.outputs for one in looked])
        values = self._linear.values.expand(len(x), -1, -1).clone()
        gradient = self._linear.with_values(values).transposed_times(multipliers)
        cells = (self._bandwidth + 1) * self._core + self._border * self._n
        storage = x.new_zeros(len(x), cells)
        for number, (stage, one) in enumerate(zip(self._stages, looked, strict=True)):
            first, second, cell = self._targets[number]
            scatter.add_gradient(gradient, stage.places, one.gradient)
            scatter.add_cells(storage, cell, (first, second), one.products)
            for term, block, coefficients, positions in self._terms[number]:
                at = stage.arguments + term.first
                scatter.add_entries(block.part(values), term.points, coefficients, at, positions, one.products)
        return found, gradient, Rows(self.columns, values, self._n), self._stored(storage)

    def _stored(self, storage: Tensor) -> Symmetric:
        """The matrix whose cells these are `(A, cells)`."""
        core, p = self._core, self._border
        rows = self._bandwidth + 1
        count, end = len(storage), rows * core + p * core
        band = SymmetricBanded(storage[:, : rows * core].view(count, rows, core))
        if not p:
            return band
        edge, corner = storage[:, rows * core : end].view(count, p, core), storage[:, end:].view(count, p, p)
        return Bordered(band, edge, corner)


def _padded(table: Tensor, width: int, *, zeros: bool = False) -> Tensor:
    """With so many entries in a row: the first one again, or zeros."""
    missing = width - table.shape[-1]
    if not missing:
        return table
    more = table[..., :1].expand(*table.shape[:-1], missing)
    return torch.cat([table, torch.zeros_like(more) if zeros else more], -1)


def _right(equations: Equations) -> Tensor:
    if equations.right is None:
        return torch.zeros(equations.total, dtype=torch.float64)
    return equations.right.flatten()
