"""A control problem as one of optimisation: functions of points are differentiated, the rest is index arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from banded.compiling import outside_graphs
from banded.control.assembly import Assembly
from banded.control.equations import Equations, slots
from banded.control.labels import Clock
from banded.control.stage import Differentiated, Engines, Looked, Stage
from banded.errors import NonFiniteError
from banded.hessian.lagrangian import ConstrainedPlan, Derivatives
from banded.hessian.layout import Layout


class Rules:
    """The equations of a transcription, one after the other: those that are to be zero first.

    Args:
        equations: in any order.
        clocks: the times of each phase.
    """

    def __init__(self, equations: Sequence[Equations], clocks: tuple[Clock, ...]) -> None:
        self.clocks = clocks
        self.blocks = tuple(sorted(equations, key=lambda one: one.inequality))
        self.m = sum(one.total for one in self.blocks)
        self.equalities = sum(one.total for one in self.blocks if not one.inequality)

    def timed(self, clocks: tuple[Clock, ...]) -> Rules:
        """The same with other times."""
        return Rules(self.blocks, clocks)

    def label(self, row: int) -> str:
        """The name of a row."""
        for block in self.blocks:
            if row < block.total:
                unit, which = divmod(row, block.size)
                if block.phase is None:
                    return block.called(which)
                clock = self.clocks[block.phase]
                where = clock.place(float(block.times[unit]), "from" if block.name == "dynamics" else "at")
                return clock.told(f"{block.called(which)} {where}")
            row -= block.total
        raise IndexError(row)

    def part(self, rows: Tensor, name: str, size: int) -> Tensor:
        """`(K, R)`: those of rows `(m,)` that are of the equations of a name; `(0, size)` where there are none."""
        for block in self.blocks:
            if block.name == name:
                return rows[: block.total].reshape(-1, block.size)
            rows = rows[block.total :]
        return rows.new_zeros(0, size)

    def of_phase(self, phase: int) -> Tensor:
        """The numbers of its rows."""
        of = torch.tensor([-1 if one.phase is None else one.phase for one in self.blocks])
        counts = torch.tensor([one.total for one in self.blocks])
        return (of.repeat_interleave(counts) == phase).nonzero()[:, 0]

    def split(self, rows: Tensor) -> dict[str, Tensor]:
        """Rows `(..., m)` as equalities and inequalities."""
        first, second = rows[..., : self.equalities], rows[..., self.equalities :]
        return {"equality": first, "inequality": second} if second.shape[-1] else {"equality": first}


class Transcription(ConstrainedPlan):
    """The unknowns of a trajectory, what they have to obey, and how all of it is differentiated.

    Args:
        stages: functions of points.
        equations: that their outputs and the unknowns obey.
        layout: of the unknowns, those of the border last.
        point: `(n,)` or `(A, n)`: where engines are tried.
        border: unknowns at the end that couple to everything.
        clocks: the times of each phase, for messages.
        compile: whether the stages' derivatives are to be compiled.
        engines: compiled ones that there are; new ones are added.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        equations: Sequence[Equations],
        layout: Layout,
        point: Tensor,
        border: int,
        clocks: tuple[Clock, ...],
        compile: bool,
        engines: Engines,
    ) -> None:
        self.layout, self.constraints = layout, Rules(equations, clocks)
        self._clocks, many = clocks, point.reshape(-1, self.n)
        self._stages = tuple(Differentiated(stage, many, compile, engines) for stage in stages)
        blocks = self.constraints.blocks
        self._assembly = Assembly(stages, blocks, [slots(one, stages) for one in blocks], self.n, border, point)

    @property
    def engines(self) -> tuple[str, ...]:
        """How derivatives are computed, and why so."""
        return tuple(f"{one.stage.name}: {one.choice.name} ({one.choice.reason})" for one in self._stages)

    def check(self, x: Tensor) -> None:
        """All functions must be finite at `x` `(n,)` or `(A, n)`.

        Raises:
            NonFiniteError: if one is not; says which, and at which node.
        """
        for stage in self._stages:
            bad = (~stage.values(x.reshape(-1, self.n)).isfinite()).nonzero()
            if len(bad):
                problem, point, output = bad[0].tolist()
                which = f", in problem {problem}" if x.ndim > 1 else ""
                missed = self._missed(stage.stage, x.reshape(-1, self.n)[problem], point, output)
                raise NonFiniteError(
                    f"{missed}{which}; give a guess where the functions are defined, "
                    "or bounds that keep out of where they are not"
                )

    def _missed(self, stage: Stage, x: Tensor, point: int, output: int) -> str:
        """What is not finite at unknowns `(n,)`, and where."""
        name, s = stage.blamed(x, point, output)
        what = f"{name}: expected finite numbers at the guess, got some"
        if stage.phase is None:
            return f"{what} that are not"
        clock = self._clocks[stage.phase]
        return f"{clock.told(what)} that are not {clock.place(s)}"

    @outside_graphs
    def evaluate(
        self, x: Tensor, multipliers: Tensor, factor: Tensor | None, rows: Tensor | None = None
    ) -> Derivatives:
        """As `ConstrainedPlan` has it."""
        weights = self._assembly.weights(multipliers, factor)
        looked: list[Looked] = [stage.look(x, one) for stage, one in zip(self._stages, weights, strict=True)]
        value = self._assembly.value([one.outputs for one in looked])
        found, gradient, J, H = self._assembly.derivatives(x, multipliers, looked)
        return Derivatives(value if factor is not None else torch.zeros_like(value), found, gradient, J, H)

    @outside_graphs
    def values_at(self, x: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """F `(A,)` and r `(A, m)` alone, at `x` `(A, n)`."""
        outputs = [stage.values(x) for stage in self._stages]
        return self._assembly.value(outputs), self._assembly.rows(x, outputs)

    def traced(self, point: Tensor) -> Tensor:
        """As `ConstrainedPlan` has it."""
        x, multipliers, factor = torch.split(point, [self.n, self.m, 1], 1)
        weights = self._assembly.weights(multipliers, factor[:, 0])
        parts = [(mu * stage.traced(x)).sum((1, 2)) for mu, stage in zip(weights, self._stages, strict=True)]
        return sum(parts, (multipliers * self._assembly.linear(x)).sum(1))

    @outside_graphs
    def costs(self, x: Tensor) -> list[float]:
        """What each phase adds to f at x `(n,)`."""
        outputs = [stage.values(x[None]) for stage in self._stages]
        found = [0.0] * len(self._clocks)
        for stage, part in zip(self._stages, self._assembly.parts(outputs), strict=True):
            if stage.stage.phase is not None:
                found[stage.stage.phase] += float(part)
        return found

    @outside_graphs
    def pull(self, x: Tensor, multipliers: Tensor) -> Tensor:
        """The gradient `(n,)` of what stands at ends alone in Λ, at x `(n,)` and λ `(m,)`."""
        weights = self._assembly.weights(multipliers[None], multipliers.new_ones(1))
        with torch.enable_grad():
            point = x.detach()[None].requires_grad_()
            total = (self._assembly.of_ends(multipliers) * self._assembly.linear(point)).sum()
            for mu, stage in zip(weights, self._stages, strict=True):
                if stage.stage.at_ends:
                    total = total + (mu * stage.traced(point)).sum()
            (found,) = torch.autograd.grad(total, point)
        return found[0]

    def select(self, rows: Tensor | None) -> None:
        """All problems share their functions."""

    def leaks(self, x: Tensor, multipliers: Tensor, factor: Tensor, rows: Tensor | None = None) -> Tensor:
        """None, by construction: functions see single points."""
        return torch.zeros_like(factor)
