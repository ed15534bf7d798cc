"""A control problem on a grid: which unknown is what, what bounds it, and how all is evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from banded.control.equations import Equations, Linear, Term
from banded.control.labels import Clock, Names, Place, places_of
from banded.control.schemes import Chain, Points, Scheme
from banded.control.stage import Engines, Stage
from banded.control.transcription import Transcription
from banded.hessian.layout import layout

if TYPE_CHECKING:
    from banded.control.stated import Stated


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Numbers of a trajectory.

    Attributes:
        x: states at the nodes, `(..., T, nx)`.
        u: controls there, `(..., T, nu)`; `(..., T, 0)` where a scheme has them between nodes only.
        middle_x, middle_u: between the nodes, `(..., N, nx)` and `(..., N, nu)`; empty where a scheme has none.
        shared: `(..., ns)`: duration, if it is free, and parameters.
    """

    x: Tensor
    u: Tensor
    middle_x: Tensor
    middle_u: Tensor
    shared: Tensor


class Setup:
    """A problem on a grid.

    Args:
        problem: as it is.
        grid: `(T,)`: the nodes in s, from 0 to 1.
        scheme: how it is discretised.
    """

    def __init__(self, problem: Stated, grid: Tensor, scheme: Scheme) -> None:
        self.problem, self.grid, self.scheme = problem, grid, scheme
        functions = problem.functions
        self.nodes, self.states, self.controls = len(grid), functions.states, functions.controls
        self.chain = self._numbered()
        shared = len(self.chain.shared)
        self.copies = self.states if problem.links_ends else 0
        self.core = int(self.chain.nodes.x[-1, -1]) + 1 + (self.controls if scheme.at_nodes else 0)
        self.border = shared + self.copies
        self.n = self.core + self.border

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
            vector[..., -self.copies :] = trajectory.x[..., 0, :]
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

    def transcription(self, vector: Tensor, compile: bool, engines: Engines) -> Transcription:
        """How it is evaluated, for problems like that at `vector` `(n,)` or `(A, n)`."""
        stages, equations = self.scheme.discretise(self.chain, self.problem.functions)
        self._add_ends(stages, equations)
        made = layout(vector, None, vector.ndim - 1)
        clock = Clock(self.grid, self.problem.functions.start, self.problem.functions.duration)
        names = Names(**vars(made), told=self._told(), clock=clock)
        return Transcription(stages, equations, names, vector, self.border, clock, compile, engines)

    def _add_ends(self, stages: list[Stage], equations: list[Equations]) -> None:
        problem, functions, chain = self.problem, self.problem.functions, self.chain
        last, shared, none = chain.nodes.x[-1], chain.shared, torch.zeros(1, 0, dtype=torch.float64)
        one = torch.ones(1, dtype=torch.float64)
        if functions.final is not None:
            places = torch.cat([last, shared])[None]
            stages.append(Stage("final cost", functions.final_cost, places, none, 1, one[:, None], ("final_cost",)))
        if not self.copies:
            return
        copy = torch.arange(self.n - self.copies, self.n)
        linear = (Linear(copy[None], 1.0), Linear(chain.nodes.x[:1], -1.0))
        equations.append(Equations("linked ends", self.states, linear, (), chain.states, chain.nodes.s[:1]))
        if problem.periodic:
            which = torch.tensor(problem.periodic)
            linear = (Linear(last[which][None], 1.0), Linear(copy[which][None], -1.0))
            names = tuple(chain.states[i] for i in problem.periodic)
            equations.append(Equations("periodicity", len(which), linear, (), names, chain.nodes.s[-1:]))
        if functions.boundary is not None:
            places = torch.cat([copy, last, shared])[None]
            size = functions.boundary_size
            weights = torch.zeros(1, size, dtype=torch.float64)
            told = tuple(f"boundary_constraint, number {i}" for i in range(size))
            stages.append(Stage("boundary constraint", functions.ends, places, none, size, weights, told))
            term = Term(len(stages) - 1, torch.zeros(1, dtype=torch.long), 0, one)
            names = tuple(map(str, range(size)))
            equations.append(Equations("boundary constraint", size, (), (term,), names, chain.nodes.s[-1:]))

    def _told(self) -> tuple[Place, ...]:
        """A name for each unknown."""
        chain = self.chain
        told: list[tuple[Tensor, Sequence[str], Tensor | None]] = [
            (chain.nodes.x, chain.states, chain.nodes.s),
            (chain.nodes.u, chain.controls, chain.nodes.s),
            (chain.shared[None], self.problem.shared_names, None),
        ]
        if chain.between is not None:
            told += [(chain.between.x, chain.states, chain.between.s)]
            told += [(chain.between.u, chain.controls, chain.between.s)]
        return places_of(self.n, told, "the first state, as the end sees it,")
