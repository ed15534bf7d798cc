"""A control problem on a grid: which unknown is what, what bounds it, and how all is evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from banded.control.ends import same, tie
from banded.control.equations import Equations
from banded.control.labels import Place, places_of
from banded.control.schemes import Chain, Discretisation, Points, Scheme
from banded.control.stage import Stage

if TYPE_CHECKING:
    from banded.control.stated import Stated


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Numbers of a trajectory.

    Attributes:
        x: states at the nodes, `(..., T, nx)`.
        u: controls there, `(..., T, nu)`; `(..., T, 0)` where a scheme has them between nodes only.
        middle_x, middle_u: between the nodes, `(..., N, nx)` and `(..., N, nu)`; empty where a scheme has none.
        shared: `(..., ns)`: what functions ask for: free durations before, its own, if it is free, and parameters.
    """

    x: Tensor
    u: Tensor
    middle_x: Tensor
    middle_u: Tensor
    shared: Tensor


class Setup:
    """A problem on a grid, in unknowns of its own: node after node, and then those that couple to everything.

    Args:
        problem: as it is.
        grid: `(T,)`: the nodes in s, from 0 to 1.
        scheme: how it is discretised.
        copied: whether somebody else needs to know the first state at the end.
    """

    def __init__(self, problem: Stated, grid: Tensor, scheme: Scheme, *, copied: bool = False) -> None:
        self.problem, self.grid, self.scheme = problem, grid, scheme
        functions = problem.functions
        self.nodes, self.states, self.controls = len(grid), functions.states, functions.controls
        self.chain = self._numbered()
        shared = len(self.chain.shared)
        self.copies = self.states if problem.links_ends or copied else 0
        self.core = int(self.chain.nodes.x[-1, -1]) + 1 + (self.controls if scheme.at_nodes else 0)
        self.border = shared + self.copies
        self.n = self.core + self.border
        self.copy = torch.arange(self.n - self.copies, self.n)

    def _numbered(self) -> Chain:
        """The unknowns node after node, those between nodes in their place, what is shared last."""
        functions, scheme, s = self.problem.functions, self.scheme, self.grid
        at_node = self.states + (self.controls if scheme.at_nodes else 0)
        stride = at_node + (self.states + self.controls if scheme.between else 0)
        first = stride * torch.arange(self.nodes)[:, None]
        of_x, of_u = torch.arange(self.states), self.states + torch.arange(self.controls)
        nodes = Points(first + of_x, first + of_u if scheme.at_nodes else first[:, :0], s)
        middle = None
        if scheme.between:
            inside = first[:-1] + at_node
            middle = Points(inside + of_x, inside + of_u, (s[1:] + s[:-1]) / 2)
        end = stride * (self.nodes - 1) + at_node
        shared = end + torch.arange(functions.shared)
        return Chain(nodes, middle, shared, self.problem.states, self.problem.controls)

    def pack(self, trajectory: Trajectory) -> Tensor:
        """The vector of unknowns `(..., n)`."""
        chain, batch = self.chain, trajectory.x.shape[:-2]
        vector = trajectory.x.new_zeros(*batch, self.n)
        parts = [(chain.nodes.x, trajectory.x), (chain.nodes.u, trajectory.u), (chain.shared, trajectory.shared)]
        if chain.between is not None:
            parts += [(chain.between.x, trajectory.middle_x), (chain.between.u, trajectory.middle_u)]
        for places, numbers in parts:
            vector[..., places] = numbers
        if self.copies:
            vector[..., self.copy] = trajectory.x[..., 0, :]
        return vector

    def unpack(self, vector: Tensor) -> Trajectory:
        """What a vector of unknowns `(..., n)` holds."""
        chain = self.chain
        none = vector.new_zeros(*vector.shape[:-1], 0, 0)
        between = chain.between
        return Trajectory(
            vector[..., chain.nodes.x],
            vector[..., chain.nodes.u],
            none if between is None else vector[..., between.x],
            none if between is None else vector[..., between.u],
            vector[..., chain.shared],
        )

    def bounds(self, initial: Tensor, final: Tensor) -> tuple[Tensor, Tensor]:
        """`(..., n)` each, with first and last states `(..., nx)`, of one shape, fixed where they are not nan."""
        problem, chain = self.problem, self.chain
        batch = initial.shape[:-1]
        found = []
        sides = zip(problem.state_bounds, problem.control_bounds, problem.shared_bounds, strict=True)
        for side, (of_x, of_u, of_shared) in enumerate(sides):
            bound = torch.full((*batch, self.n), (-torch.inf, torch.inf)[side], dtype=torch.float64)
            bound[..., chain.nodes.x], bound[..., chain.nodes.u] = of_x, of_u if self.scheme.at_nodes else 0
            bound[..., chain.shared] = of_shared
            if chain.between is not None and getattr(self.scheme, "controls", "") != "linear":
                bound[..., chain.between.u] = of_u
            for places, state in ((chain.nodes.x[0], initial), (chain.nodes.x[-1], final)):
                bound[..., places] = torch.where(state.isnan(), bound[..., places], state)
            found.append(bound)
        return found[0], found[1]

    @cached_property
    def discretised(self) -> Discretisation:
        """Stages and equations, in these unknowns."""
        stages, equations = self.scheme.discretise(self.chain, self.problem.functions)
        self._add_ends(stages, equations)
        return Discretisation(stages, equations)

    def _add_ends(self, stages: list[Stage], equations: list[Equations]) -> None:
        functions, chain = self.problem.functions, self.chain
        first, last = chain.nodes.x[:1], chain.nodes.x[-1:]
        if functions.final is not None:
            places, one = torch.cat([last[0], chain.shared])[None], torch.ones(1, 1, dtype=torch.float64)
            none, told = torch.zeros(1, 0, dtype=torch.float64), ("final_cost",)
            stages.append(Stage("final cost", functions.final_cost, places, none, 1, one, told, at_ends=True))
        if not self.copies:
            return
        copy, end = self.copy[None], chain.nodes.s[-1:]
        equations.append(same("linked ends", chain.states, copy, first, chain.nodes.s[:1]))
        if self.problem.periodic:
            which = torch.tensor(self.problem.periodic)
            names = tuple(chain.states[i] for i in self.problem.periodic)
            equations.append(same("periodicity", names, last[:, which], copy[:, which], end))
        if functions.boundary is not None:
            function, size = functions.of_ends(functions.boundary, (self.states, self.states)), functions.boundary_size
            places = torch.cat([copy, last, chain.shared[None]], 1)
            stage, rule = tie("boundary constraint", function, places, size, len(stages), "boundary_constraint", end)
            stages.append(stage)
            equations.append(rule)

    @cached_property
    def told(self) -> tuple[Place, ...]:
        """A name for each unknown."""
        chain, before = self.chain, ("an earlier duration",) * self.problem.functions.before
        told: list[tuple[Tensor, Sequence[str], Tensor | None]] = [
            (chain.nodes.x, chain.states, chain.nodes.s),
            (chain.nodes.u, chain.controls, chain.nodes.s),
            (chain.shared[None], before + self.problem.shared_names, None),
        ]
        if chain.between is not None:
            told += [(chain.between.x, chain.states, chain.between.s)]
            told += [(chain.between.u, chain.controls, chain.between.s)]
        return places_of(self.n, told, "the first state, as the end sees it,")
