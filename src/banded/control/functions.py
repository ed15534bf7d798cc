"""The functions that users write for one node, as functions of one vector of arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

BY_NAME = ("t", "p")


@dataclass(frozen=True, eq=False)
class NodeFunction:
    """A function of states and controls that may ask for time t and parameters p by name.

    Attributes:
        name: of the argument that it was given as.
        function: the user's.
        asks: which of t and p it takes.
        size: how many numbers it returns; 0 for a scalar; None where anything goes.
    """

    name: str
    function: Callable[..., Any]
    asks: tuple[str, ...]
    size: int | None

    @classmethod
    def of(cls, name: str, function: Callable[..., Any], leading: Sequence[str], size: int | None) -> NodeFunction:
        """A user's function, with so many leading arguments.

        Raises:
            TypeError: if it is no function, or takes other arguments.
        """
        if not callable(function):
            raise TypeError(f"{name}: expected a function of ({', '.join(leading)}), got {function!r}")
        called = function.forward if isinstance(function, torch.nn.Module) else function
        try:
            parameters = list(inspect.signature(called).parameters.values())
        except (TypeError, ValueError):  # of builtins, nobody knows
            return cls(name, function, (), size)
        variadic = any(one.kind is one.VAR_POSITIONAL for one in parameters)
        named = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
        told = function.keywords if isinstance(function, partial) else {}  # which are the user's to choose
        asks = [one.name for one in parameters[len(leading) :] if one.name in BY_NAME and one.name not in told]
        needed = [
            one.name
            for one in parameters[len(leading) :]
            if one.default is one.empty
            and one.name not in BY_NAME
            and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        ]
        is_time = "t" in [one.name for one in named[: len(leading)]]  # which states or controls would be taken for
        if (len(named) < len(leading) and not variadic) or needed or is_time:
            wanted = ", ".join(leading)
            raise TypeError(
                f"{name}: expected a function of ({wanted}), which may also name t and p, got one of "
                f"({', '.join(one.name for one in parameters)}); functools.partial gives other arguments their values"
            )
        return cls(name, function, tuple(asks), size)

    def __call__(self, *leading: Tensor, t: Tensor, p: Tensor) -> Tensor:
        """The values `(size,)`, or `()` for a scalar.

        Raises:
            TypeError, ValueError: if the user's function returns something else.
        """
        known = {"t": t, "p": p}
        found = self.function(*leading, **{name: known[name] for name in self.asks})
        values, like = self._checked(found, leading[0]), leading[0]
        if values.is_floating_point() and values.dtype != like.dtype:
            raise TypeError(
                f"{self.name}: expected numbers of {like.dtype}, as x is, got {values.dtype}, which are too rough for "
                "derivatives; make new tensors with dtype=x.dtype, and modules double with module.double()"
            )
        return values

    def _entry(self, one: Any, like: Tensor) -> Tensor:
        self._check_real(one)
        entry = torch.as_tensor(one, dtype=like.dtype, device=like.device)
        if entry.numel() != 1:
            raise ValueError(
                f"{self.name}: expected a list of numbers, got one of shape {tuple(entry.shape)} in it; x[1] is one, "
                "and torch.cat joins vectors"
            )
        return entry.reshape(())  # u is a vector, though of one control: u - x[0] is meant as u[0] - x[0]

    def _check_real(self, one: Any) -> None:
        """Truth values are refused: a path constraint of such would say nothing, for both 1 >= 0 and 0 >= 0."""
        if isinstance(one, bool | complex) or (
            isinstance(one, Tensor) and (one.is_complex() or one.dtype is torch.bool)
        ):
            kind = one.dtype if isinstance(one, Tensor) else type(one).__name__
            is_path = self.name == "path_constraint"
            hint = (
                "x[0] >= 1 is written as x[0] - 1" if is_path else "take .real of complex ones, and .double() of others"
            )
            raise TypeError(f"{self.name}: expected real numbers, got {kind}; {hint}")

    def _checked(self, found: Any, like: Tensor) -> Tensor:
        if isinstance(found, tuple | list):
            found = torch.stack([self._entry(one, like) for one in found])
        else:
            self._check_real(found)
        if not isinstance(found, Tensor):
            if isinstance(found, int | float) and self.size == 0:
                return torch.full_like(like.sum(), found)
            raise TypeError(f"{self.name}: expected a tensor, got {type(found).__name__}")
        if self.size == 0 and found.shape in ((), (1,)):
            return found.reshape(())
        if self.size is None and found.ndim <= 1:
            return found.reshape(-1)
        if self.size is None or found.shape != (self.size,):
            wanted = "a scalar" if self.size == 0 else "a vector" if self.size is None else f"shape ({self.size},)"
            raise ValueError(
                f"{self.name}: expected {wanted} at one node, got shape {tuple(found.shape)}; functions are written "
                "for one node, the library batches them"
            )
        return found


@dataclass(frozen=True, eq=False)
class Functions:
    """All functions of a problem, and how long it takes.

    Attributes:
        states, controls, parameters: how many there are.
        dynamics: dx/dt.
        running_cost: per unit of time, or None.
        path: what is to be >= 0 at each node, or None.
        final: the cost at the end, or None.
        boundary: what both ends obey, or None.
        start: `()`: time at the first node, less the durations that are to be found and come before it; compiled
            functions look at this very tensor, so another time is written into it (`beginning`).
        duration: T, or None where it is to be found.
        path_size, boundary_size: how many numbers these return.
        before: how many durations that are to be found come before the first node, and count in t.
    """

    states: int
    controls: int
    parameters: int
    dynamics: NodeFunction
    running_cost: NodeFunction | None
    path: NodeFunction | None
    final: NodeFunction | None
    boundary: NodeFunction | None
    start: Tensor
    duration: float | None
    path_size: int = 0
    boundary_size: int = 0
    before: int = 0

    @property
    def shared(self) -> int:
        """How many unknowns all nodes share: durations before, the own one, if it is free, and then the parameters."""
        return self.before + (self.duration is None) + self.parameters

    @property
    def asks_time(self) -> bool:
        """Whether any of them wants to know t."""
        every = (self.dynamics, self.running_cost, self.path, self.final, self.boundary)
        return any(one is not None and "t" in one.asks for one in every)

    @property
    def costs(self) -> int:
        """1 if there is a running cost."""
        return int(self.running_cost is not None)

    @contextmanager
    def beginning(self, t: float | None) -> Iterator[None]:
        """Another time at the first node, for as long as this lasts; None for the usual one."""
        usual = float(self.start)
        self.start.fill_(usual if t is None else t)
        try:
            yield
        finally:
            self.start.fill_(usual)

    def split(self, shared: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The time at the first node, T `(...)`, and p `(..., np)` from what all nodes share, `(..., ns)`."""
        before, own = shared[..., : self.before], shared[..., self.before :]
        start = self.start + before.sum(-1) if self.before else self.start
        if self.duration is None:
            return start, own[..., 0], own[..., 1:]
        return start, torch.full_like(shared.sum(-1), self.duration), own

    def flow(self, x: Tensor, u: Tensor, t: Tensor, shared: Tensor) -> Tensor:
        """dx/dt `(P, nx)` at x `(P, nx)`, u `(P, nu)` and t `(P,)`."""
        _, _, p = self.split(shared)

        def one(x: Tensor, u: Tensor, t: Tensor) -> Tensor:
            return self.dynamics(x, u, t=t, p=p)

        with torch.no_grad():
            try:
                return torch.func.vmap(one)(x, u, t)
            except RuntimeError:  # what vmap cannot do goes node by node
                return torch.stack([one(*each) for each in zip(x, u, t, strict=True)])

    def rates(self, arguments: Tensor, data: Tensor) -> Tensor:
        """T dx/dt, T times the running cost, and the path constraints, for (x, u, shared) and (s,)."""
        x, u, shared = torch.split(arguments, [self.states, self.controls, self.shared])
        start, duration, p = self.split(shared)
        t = start + duration * data[0]
        return torch.cat([*self._flow(x, u, t, p, duration), *self._path(x, u, t, p)])

    def path_alone(self, arguments: Tensor, data: Tensor) -> Tensor:
        """The path constraints for (x, u, shared) and (s,)."""
        x, u, shared = torch.split(arguments, [self.states, self.controls, self.shared])
        start, duration, p = self.split(shared)
        return torch.cat(self._path(x, u, start + duration * data[0], p))

    def _flow(self, x: Tensor, u: Tensor, t: Tensor, p: Tensor, duration: Tensor) -> list[Tensor]:
        parts = [duration * self.dynamics(x, u, t=t, p=p)]
        if self.running_cost is not None:
            parts.append((duration * self.running_cost(x, u, t=t, p=p)).reshape(1))
        return parts

    def _path(self, x: Tensor, u: Tensor, t: Tensor, p: Tensor) -> list[Tensor]:
        return [] if self.path is None else [self.path(x, u, t=t, p=p)]

    def step(self, arguments: Tensor, data: Tensor) -> Tensor:
        """What one step of the classic Runge-Kutta method adds to x and to the cost.

        Arguments (x, u, next u, shared), data (s, h); the control is linear between u and next u.
        Kutta (1901, Z. Math. Phys. 46:435-453).
        """
        _, k = self._slopes(arguments, data)
        return data[1] * (k[0] / 6 + k[1] / 3 + k[2] / 3 + k[3] / 6)

    def _slopes(self, arguments: Tensor, data: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Where in normalised time a step looks, and the rates of x and of the cost that it finds there."""
        x, u, after, shared = torch.split(arguments, [self.states, self.controls, self.controls, self.shared])
        start, duration, p = self.split(shared)
        s, h = data[0], data[1]
        times, k = [], [torch.zeros_like(torch.cat([x, x[: self.costs]]))]
        for part in (0.0, 0.5, 0.5, 1.0):
            times.append(s + part * h)
            t, here = start + duration * times[-1], x + part * h * k[-1][: self.states]
            k.append(torch.cat(self._flow(here, u + part * (after - u), t, p, duration)))
        return times, k[1:]

    def inside_step(self, arguments: Tensor, data: Tensor) -> Tensor:
        """`(4, 1 + nx + costs)`: where a step looks, and what it finds there; for messages."""
        rows = zip(*self._slopes(arguments, data), strict=True)
        return torch.stack([torch.cat([time[None], rates]) for time, rates in rows])

    def held_step(self, arguments: Tensor, data: Tensor) -> Tensor:
        """The same with one control for all of the step: arguments (x, u, shared)."""
        return self.step(self._held(arguments), data)

    def inside_held_step(self, arguments: Tensor, data: Tensor) -> Tensor:
        """As `inside_step`."""
        return self.inside_step(self._held(arguments), data)

    def _held(self, arguments: Tensor) -> Tensor:
        x, u, shared = torch.split(arguments, [self.states, self.controls, self.shared])
        return torch.cat([x, u, u, shared])

    def final_cost(self, arguments: Tensor, data: Tensor) -> Tensor:
        """The cost at the end, for (x, shared) there."""
        assert self.final is not None
        x, shared = torch.split(arguments, [self.states, self.shared])
        start, duration, p = self.split(shared)
        return self.final(x, t=start + duration, p=p).reshape(1)

    def of_ends(self, function: NodeFunction, sizes: tuple[int, int]) -> Callable[[Tensor, Tensor], Tensor]:
        """A function of two states, of so many entries, at the end: for (one x, other x, shared)."""

        def ends(arguments: Tensor, data: Tensor) -> Tensor:
            one, other, shared = torch.split(arguments, [*sizes, self.shared])
            start, duration, p = self.split(shared)
            return function(one, other, t=start + duration, p=p)

        return ends
