"""Ways to turn a differential equation into equations at points of a grid.

In normalised time s from 0 to 1, dx/ds = F(x, u) := T f(x, u). Every scheme says where it evaluates F, which
equations the points obey, and what polynomials run between the nodes. Betts (2010), Practical Methods for Optimal
Control, §4.5-4.6; Kelly (2017, SIAM Review 59:849-904).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from banded.control.equations import Equations, Linear, Term
from banded.control.functions import Functions
from banded.control.stage import Stage


class Points(NamedTuple):
    """Points of a trajectory: the unknowns that are its states `(P, nx)` and controls `(P, nu)`, at s `(P,)`."""

    x: Tensor
    u: Tensor
    s: Tensor


@dataclass(frozen=True, eq=False)
class Chain:
    """Where in the vector of unknowns everything is.

    Attributes:
        nodes: the T nodes; without controls where a scheme has them between nodes only.
        between: the points between nodes, if the scheme has such.
        shared: `(ns,)`: duration and parameters.
        states, controls: their names.
    """

    nodes: Points
    between: Points | None
    shared: Tensor
    states: tuple[str, ...]
    controls: tuple[str, ...]

    @property
    def steps(self) -> Tensor:
        """`(N,)`: lengths of the intervals in s."""
        return self.nodes.s.diff()

    def places(self, points: Points, *more: Tensor) -> Tensor:
        """`(P, na)`: the arguments of a function of points and of what is shared."""
        return torch.cat([points.x, points.u, *more, self.shared.expand(len(points.s), -1)], 1)


class Known(NamedTuple):
    """A trajectory, and how its states move.

    Attributes:
        h: `(N, 1)`: lengths of the intervals, in time.
        x: `(T, nx)`.
        u: `(T, nu)`.
        middle_u: `(N, nu)`, between the nodes, if a scheme has such.
        rates: dx/dt at the nodes, `(T, nx)`.
        rates_after: the same at the ends of the intervals, with the control that each of them ends with `(N, nx)`.
        middle_rates: between the nodes, `(N, nx)`, if a scheme has such.
    """

    h: Tensor
    x: Tensor
    u: Tensor
    middle_u: Tensor
    rates: Tensor
    rates_after: Tensor
    middle_rates: Tensor


class Discretisation(NamedTuple):
    """What a scheme makes of a chain."""

    stages: list[Stage]
    equations: list[Equations]


class Scheme:
    """A way to discretise.

    Attributes:
        name: as users write it.
        order: of the error of a smooth solution's states and cost in the length of the intervals.
        defect: of the error of an interval, as `Curves.errors` tells it, in its length.
        between: whether there are points between nodes.
        at_nodes: whether controls are at nodes.
        is_explicit: whether a step is a function of the node where it begins.
    """

    name: ClassVar[str]
    order: ClassVar[int]
    defect: ClassVar[int]
    between: ClassVar[bool] = False
    at_nodes: ClassVar[bool] = True
    is_explicit: ClassVar[bool] = False

    @property
    def is_held(self) -> bool:
        """Whether controls are constant from node to node."""
        return False

    def discretise(self, chain: Chain, functions: Functions) -> Discretisation:
        """Stages and equations."""
        raise NotImplementedError

    def controls_between(self, known: Known) -> Tensor:
        """The controls' polynomials `(N, q, nu)`, as in `Curves`: constant, unless a scheme says otherwise."""
        return known.u[:-1, None]

    def states_between(self, known: Known) -> Tensor:
        """The states' polynomials `(N, q, nx)`: cubic, with the rates of both ends (Hermite)."""
        h, x = known.h, known.x
        first, last, change = h * known.rates[:-1], h * known.rates_after, x.diff(dim=0)
        return torch.stack([x[:-1], first, 3 * change - 2 * first - last, first + last - 2 * change], 1)


def _numbers(count: int, first: int = 0) -> Tensor:
    return torch.arange(first, first + count)


def _points(points: Sequence[Points]) -> Points:
    return Points(*(torch.cat(one) for one in zip(*points, strict=True)))


def _rates(chain: Chain, functions: Functions, points: Points, weights: Tensor) -> Stage:
    """F, the running cost with `weights` `(P,)` and path constraints at points."""
    ny = functions.states + functions.costs + functions.path_size
    counted = torch.zeros(len(points.s), ny, dtype=torch.float64)
    if functions.costs:
        counted[:, functions.states] = weights
    places, told = chain.places(points), _told(chain, functions)
    return Stage("dynamics", functions.rates, places, points.s[:, None], ny, counted, told)


def _told(chain: Chain, functions: Functions) -> tuple[str, ...]:
    """Names of what a stage of the dynamics returns."""
    path = [f"path_constraint, number {i}" for i in range(functions.path_size)]
    return (*(f"dynamics of {name}" for name in chain.states), *["running_cost"] * functions.costs, *path)


def _path(chain: Chain, functions: Functions, stage: int, first: int, times: Tensor) -> list[Equations]:
    """Path constraints at all points of a stage, whose outputs they are from `first` on."""
    if not functions.path_size:
        return []
    term = Term(stage, _numbers(len(times)), first, torch.ones(len(times), dtype=torch.float64))
    names = tuple(map(str, range(functions.path_size)))
    return [Equations("path constraint", functions.path_size, (), (term,), names, times, inequality=True)]


def _dynamics(chain: Chain, terms: Sequence[Term], name: str = "dynamics") -> Equations:
    """Next x - x = the terms."""
    x = chain.nodes.x
    linear = (Linear(x[1:], 1.0), Linear(x[:-1], -1.0))
    return Equations(name, x.shape[1], linear, tuple(terms), chain.states, chain.nodes.s[:-1])


def _last_control(chain: Chain) -> list[Equations]:
    """The control at the last node, which acts on nothing, is the one before."""
    u = chain.nodes.u
    if not u.shape[1]:
        return []
    linear = (Linear(u[-1:], 1.0), Linear(u[-2:-1], -1.0))
    return [Equations("last control", u.shape[1], linear, (), chain.controls, chain.nodes.s[-1:])]


def _parabola(at_nodes: Tensor, between: Tensor) -> Tensor:
    """`(N, 3, n)`: through the values `(T, n)` at the nodes and `(N, n)` in the middle."""
    first, last = at_nodes[:-1], at_nodes[1:]
    return torch.stack([first, 4 * between - 3 * first - last, 2 * first - 4 * between + 2 * last], 1)


class Euler(Scheme):
    """Next x = x + h F(x, u); controls are constant from node to node."""

    name, order, defect, is_explicit = "euler", 1, 2, True
    is_held = True

    def discretise(self, chain: Chain, functions: Functions) -> Discretisation:
        """As `Scheme` has it."""
        h = chain.steps
        stage = _rates(chain, functions, chain.nodes, torch.nn.functional.pad(h, (0, 1)))
        rules = [_dynamics(chain, [Term(0, _numbers(len(h)), 0, -h)]), *_last_control(chain)]
        rules += _path(chain, functions, 0, functions.states + functions.costs, chain.nodes.s)
        return Discretisation([stage], rules)

    def states_between(self, known: Known) -> Tensor:
        """Linear."""
        return torch.stack([known.x[:-1], known.x.diff(dim=0)], 1)


class Trapezoidal(Scheme):
    """Next x = x + h/2 (F + next F); controls are linear from node to node, states quadratic."""

    name, order, defect = "trapezoidal", 2, 3

    def discretise(self, chain: Chain, functions: Functions) -> Discretisation:
        """As `Scheme` has it."""
        h = chain.steps
        weights = (torch.nn.functional.pad(h, (0, 1)) + torch.nn.functional.pad(h, (1, 0))) / 2
        stage = _rates(chain, functions, chain.nodes, weights)
        terms = [Term(0, _numbers(len(h)), 0, -h / 2), Term(0, _numbers(len(h), 1), 0, -h / 2)]
        rules = [_dynamics(chain, terms)]
        rules += _path(chain, functions, 0, functions.states + functions.costs, chain.nodes.s)
        return Discretisation([stage], rules)

    def controls_between(self, known: Known) -> Tensor:
        """Linear."""
        return torch.stack([known.u[:-1], known.u.diff(dim=0)], 1)

    def states_between(self, known: Known) -> Tensor:
        """Quadratic: rates are linear."""
        first, change = known.h * known.rates[:-1], known.h * known.rates.diff(dim=0)
        return torch.stack([known.x[:-1], first, change / 2], 1)


@dataclass(frozen=True)
class HermiteSimpson(Scheme):
    """Next x = x + h/6 (F + 4 middle F + next F), with the cubic's middle x = (x + next x)/2 + h/8 (F - next F).

    The middle has unknowns of its own: the separated form. States are cubic, controls quadratic from node to node.

    Attributes:
        controls: "free" in the middle; or "linear", the mean of both nodes there, where the cost does not say enough
            of controls to keep those in the middle from running away.
    """

    controls: str = "free"
    name, order, defect, between = "hermite-simpson", 4, 4, True

    def __post_init__(self) -> None:
        if self.controls not in ("free", "linear"):
            raise ValueError(f"controls: expected 'free' or 'linear', got {self.controls!r}")

    def discretise(self, chain: Chain, functions: Functions) -> Discretisation:
        """As `Scheme` has it."""
        assert chain.between is not None
        h, nodes, middle = chain.steps, chain.nodes, chain.between
        count = len(h)
        sides = (torch.nn.functional.pad(h, (0, 1)) + torch.nn.functional.pad(h, (1, 0))) / 6
        stage = _rates(chain, functions, _points([nodes, middle]), torch.cat([sides, 4 / 6 * h]))
        here, there, inside = _numbers(count), _numbers(count, 1), _numbers(count, count + 1)
        simpson = [Term(0, here, 0, -h / 6), Term(0, inside, 0, -4 / 6 * h), Term(0, there, 0, -h / 6)]
        mean = (Linear(middle.x, 1.0), Linear(nodes.x[:-1], -0.5), Linear(nodes.x[1:], -0.5))
        hermite = (Term(0, here, 0, -h / 8), Term(0, there, 0, h / 8))
        rules = [
            _dynamics(chain, simpson),
            Equations("middle state", functions.states, mean, hermite, chain.states, middle.s),
        ]
        if self.controls == "linear" and functions.controls:
            mean = (Linear(middle.u, 1.0), Linear(nodes.u[:-1], -0.5), Linear(nodes.u[1:], -0.5))
            rules.append(Equations("middle control", functions.controls, mean, (), chain.controls, middle.s))
        times = torch.cat([nodes.s, middle.s])
        rules += _path(chain, functions, 0, functions.states + functions.costs, times)
        return Discretisation([stage], rules)

    def controls_between(self, known: Known) -> Tensor:
        """Quadratic."""
        return _parabola(known.u, known.middle_u)

    def states_between(self, known: Known) -> Tensor:
        """Cubic: rates are quadratic."""
        rates = known.h[:, None] * _parabola(known.rates, known.middle_rates)
        thirds = torch.tensor([1.0, 2.0, 3.0], dtype=rates.dtype)[:, None]
        return torch.cat([known.x[:-1, None], rates / thirds], 1)


class Midpoint(Scheme):
    """Next x = x + h F(middle x, u) with middle x = (x + next x)/2, implicit and symplectic; controls are constant."""

    name, order, defect, between, at_nodes = "midpoint", 2, 3, True, False
    is_held = True

    def discretise(self, chain: Chain, functions: Functions) -> Discretisation:
        """As `Scheme` has it."""
        assert chain.between is not None
        h, x, middle = chain.steps, chain.nodes.x, chain.between
        stage = _rates(chain, functions, middle, h)
        mean = (Linear(middle.x, 1.0), Linear(x[:-1], -0.5), Linear(x[1:], -0.5))
        rules = [
            _dynamics(chain, [Term(0, _numbers(len(h)), 0, -h)]),
            Equations("middle state", functions.states, mean, (), chain.states, middle.s),
            *_path(chain, functions, 0, functions.states + functions.costs, middle.s),
        ]
        return Discretisation([stage], rules)


@dataclass(frozen=True)
class RungeKutta(Scheme):
    """Multiple shooting: one step of the classic Runge-Kutta method leads from each node to the next.

    Attributes:
        controls: "linear" from node to node, or "constant".
    """

    controls: str = "linear"
    name, order, defect, is_explicit = "rk4", 4, 4, True

    def __post_init__(self) -> None:
        if self.controls not in ("linear", "constant"):
            raise ValueError(f"controls: expected 'linear' or 'constant', got {self.controls!r}")

    @property
    def is_held(self) -> bool:
        """Whether controls are constant from node to node."""
        return self.controls == "constant"

    def discretise(self, chain: Chain, functions: Functions) -> Discretisation:
        """As `Scheme` has it."""
        h, nodes = chain.steps, chain.nodes
        count, ny = len(h), functions.states + functions.costs
        start = Points(nodes.x[:-1], nodes.u[:-1], nodes.s[:-1])
        linear = self.controls == "linear"
        places = chain.places(start, *([nodes.u[1:]] if linear else []))
        weights = torch.zeros(count, ny, dtype=torch.float64)
        weights[:, functions.states :] = 1
        function, inside = (
            (functions.step, functions.inside_step) if linear else (functions.held_step, functions.inside_held_step)
        )
        name, data = "step" if linear else "held step", torch.stack([start.s, h], 1)
        stages = [Stage(name, function, places, data, ny, weights, _told(chain, functions), inside=inside)]
        rules = [_dynamics(chain, [Term(0, _numbers(count), 0, -torch.ones_like(h))])]
        rules += [] if linear else _last_control(chain)
        if functions.path_size:
            none = torch.zeros(len(nodes.s), functions.path_size, dtype=torch.float64)
            path = Stage(
                "path constraint",
                functions.path_alone,
                chain.places(nodes),
                nodes.s[:, None],
                functions.path_size,
                none,
                _told(chain, functions)[ny:],
            )
            stages.append(path)
            rules += _path(chain, functions, 1, 0, nodes.s)
        return Discretisation(stages, rules)

    def controls_between(self, known: Known) -> Tensor:
        """Linear or constant."""
        if self.controls == "constant":
            return super().controls_between(known)
        return torch.stack([known.u[:-1], known.u.diff(dim=0)], 1)


SCHEMES: dict[str, Scheme] = {
    one.name: one for one in (Euler(), Trapezoidal(), HermiteSimpson(), Midpoint(), RungeKutta())
}


def scheme_of(scheme: str | Scheme) -> Scheme:
    """The scheme of a name, or as it is.

    Raises:
        TypeError, ValueError: if there is none.
    """
    if isinstance(scheme, Scheme):
        return scheme
    if not isinstance(scheme, str):
        raise TypeError(f"scheme: expected a name or a scheme such as RungeKutta(), got {type(scheme).__name__}")
    if scheme not in SCHEMES:
        raise ValueError(f"scheme: expected one of {', '.join(SCHEMES)}, got {scheme!r}")
    return SCHEMES[scheme]
