"""The state of a phase, regular or restoration, of A problems, and the answers that it gives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from banded.matrix.rows import Congruence
from banded.optimize.interior.arithmetic import Place, arithmetic
from banded.optimize.interior.barrier import Proximal
from banded.optimize.interior.batched import cloned, overwrite, taken
from banded.optimize.interior.evaluator import Evaluator
from banded.optimize.interior.form import Form
from banded.optimize.interior.kkt import EPSILON, System, condensed
from banded.optimize.interior.point import Move, Point
from banded.optimize.interior.quality import best_barrier
from banded.optimize.interior.questions import Direction, Measure, Trial

LARGE = 1e3  # of least-squares multipliers, from which none are better
POOR = 1e-8  # relative residual from which the system is condensed with another ε
OTHERS, LIMITS = (1e-2, 1e2), (1e-14, 1e-6)  # times the last ε, and within which limits
TURNS = 8  # of inverse iteration
WORTH = 0.3  # to which the residual must fall, for another ε
STATE = (
    "form", "here", "proximal", "evaluator", "_epsilon", "_systems", "_step", "_v", "_rows", "_there", "_looked",
    "_correction", "_kept",
)  # fmt: skip


@dataclass(eq=False)
class Phase:
    """Where A problems are, the step that leaves from there, and the last trial along it.

    Attributes:
        form: bounds and equations.
        evaluator: the functions.
        congruence: JᵀDJ in the storage of H.
        here: where the problems are.
        proximal: in restoration, else None.
    """

    form: Form
    evaluator: Evaluator
    congruence: Congruence
    here: Point
    proximal: Proximal | None  # without a default, which `Part` would find in the class in place of its own

    def __post_init__(self) -> None:
        here = self.here
        self._arithmetic = arithmetic(here.v)
        self._epsilon = torch.full_like(here.value, EPSILON)
        self._systems: list[tuple[System, int] | None] = [None] * len(here.v)  # of each, and its place in that
        self._step = Move(here.v, here.multipliers, here.v, here.v)
        self._v, self._rows = here.v, here.rows  # of the last trial
        self._there = here  # with derivatives
        self._looked = [False] * len(here.v)  # whether the last trial is that
        self._correction = here.rows
        self._kept = here
        self._own: set[str] = set()  # what shares no tensor with anything else, and may be overwritten

    def take(self, rows: Tensor) -> Phase:
        """Some of the problems, on their own."""
        other = Phase(self.form, self.evaluator, self.congruence, self.here, self.proximal)
        for name in STATE:
            found = part_of(getattr(self, name), rows)
            setattr(other, name, replace(found) if isinstance(found, Point) else found)
        return other

    def shared(self) -> Phase:
        """Itself, some of whose tensors may be shared from now on."""
        self._own.clear()
        return self

    def put(self, rows: Tensor, other: Phase, names: Iterable[str] = STATE) -> None:
        """Some of the problems replaced, but for their functions."""
        for name in names:
            mine, new = getattr(self, name), getattr(other, name)
            if isinstance(mine, list):
                for row, one in zip(rows.tolist(), new, strict=True):
                    mine[row] = one
            elif name != "evaluator" and new is not None:
                if name not in self._own:
                    mine = cloned(mine)
                    setattr(self, name, mine)
                    self._own.add(name)
                overwrite(mine, rows, new)

    def measure(self, mu: Sequence[float]) -> Sequence[Measure]:
        """For the barrier parameters μ."""
        numbers = self._arithmetic.measures(self._place, mu, self._unscaled(self.here.value))
        return [Measure(*one) for one in numbers]

    def reset_multipliers(self) -> None:
        """λ that makes the gradient of the Lagrangian smallest, or zero where that is large (§3.6)."""
        here, form = self.here, self.form
        gradient = here.slope - here.lower + here.upper
        zeros = here.H.with_tensors(tuple(torch.zeros_like(one) for one in here.H.tensors))
        one = torch.ones_like(here.v)
        system = condensed(form, zeros, here.J, one, here.value * 0, self.congruence, self._epsilon)
        _, multipliers, _ = system.solve(-gradient, torch.zeros_like(here.rows))
        small = multipliers.abs().amax(1, keepdim=True) <= LARGE
        self.look_again(torch.where(small, multipliers, 0))

    def look_again(self, multipliers: Tensor) -> None:
        """The same point with other λ."""
        here = self.evaluator.look(self.form, self.here.v, multipliers)
        self.here = replace(here, lower=self.here.lower, upper=self.here.upper)

    def direction(
        self, mu: Sequence[float], tau: Sequence[float], shift: Sequence[float], compliance: Sequence[float]
    ) -> Sequence[Direction | None]:
        """The step for μ, δ and δ_c; None where the system has not the inertia that it takes."""
        found = self._newton(mu, shift, compliance)
        return [None] * len(mu) if found is None else self._stepped(mu, tau, *found)

    def aim(
        self,
        least: Sequence[float],
        most: Sequence[float],
        tau: Sequence[float],
        shift: Sequence[float],
        compliance: Sequence[float],
    ) -> Sequence[Direction | None]:
        """The same for the μ within limits that promises most; it is linear in μ."""
        none, one = [0.0] * len(tau), [1.0] * len(tau)
        found = self._newton(none, shift, compliance)
        if found is None:
            return [None] * len(tau)
        v, multipliers, residual, good = found
        more = self._solved_again(self._downhill(one) - self._downhill(none), torch.zeros_like(self.here.rows))
        affine = self._with_bounds(none, tau, v, multipliers)
        whole = self._with_bounds(one, tau, v + more[0], multipliers + more[1])
        central = Move(*(b - a for a, b in zip(affine, whole, strict=True)))
        gradient = -self._downhill(none) - self.here.lower + self.here.upper
        limits = self._column(least), self._column(most)
        barrier = best_barrier(self.form, self.here, gradient, affine, central, limits, self._column(tau)[:, 0])
        mu, step = barrier[:, 0].tolist(), (v + barrier * more[0], multipliers + barrier * more[1])
        told = self._stepped(mu, tau, *step, residual, good)
        return [one and one._replace(mu=mu) for one, mu in zip(told, mu, strict=True)]

    def _newton(
        self, mu: Sequence[float], shift: Sequence[float], compliance: Sequence[float]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
        """The step of v and λ for μ, δ and δ_c, its residual, and where the matrix is definite; None if nowhere."""
        S, a = self._arithmetic.system(self._place, mu, shift)
        held = torch.logical_or(S, a)[:, : self.form.n]
        if not bool(held.all()):  # what nothing holds stays where it is
            S[:, : self.form.n] += self.here.unseen(~held)
        return self._solved(S, self._column(compliance)[:, 0], a, -self.here.rows)

    def _solved(self, S: Tensor, soft: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
        """The same of any system, each problem with the ε that serves it best, whatever others need; all are kept."""
        usual = torch.full_like(self._epsilon, EPSILON)
        tried = [self._epsilon] if torch.equal(usual, self._epsilon) else [self._epsilon, usual]
        best = [torch.zeros_like(a), torch.zeros_like(b), torch.full_like(usual, torch.inf)]
        good = torch.zeros_like(usual, dtype=torch.bool)
        left = ~good  # those that want another ε
        for epsilon in (*tried, *((factor * self._epsilon).clamp(*LIMITS) for factor in OTHERS)):
            system = condensed(self.form, self.here.H, self.here.J, S, soft, self.congruence, epsilon)
            fit = left & system.good
            if bool(fit.any()):
                found = system.solve(a, b)
                better = fit & (~good | (found[2] < WORTH * best[2]))
                *best, self._epsilon = _chosen(better, (*found, epsilon), (*best, self._epsilon))
                self._systems = [
                    (system, row) if one else old
                    for row, (one, old) in enumerate(zip(better.tolist(), self._systems, strict=True))
                ]
                good, left = good | better, left & ~(fit & ~(best[2] > POOR))
            if epsilon is tried[-1]:
                left &= good
            if not self.form.m or not bool(left.any()):
                break
        return (best[0], best[1], best[2], good) if bool(good.any()) else None

    def correct(
        self, mu: Sequence[float], tau: Sequence[float], first: Sequence[float], length: Sequence[float]
    ) -> Sequence[Direction | None]:
        """The step with the equations as the last trial, of this `length`, has them (second-order correction, §2.4).

        Args:
            mu: μ.
            tau: of the way to the bounds.
            first: 1 for the first correction along this step, else 0.
            length: of the last trial.
        """
        start = torch.where(self._column(first) > 0, self.here.rows, self._correction)
        self._correction = self._column(length) * start + self._rows
        return self._stepped(mu, tau, *self._solved_again(self._downhill(mu), -self._correction))

    def _solved_again(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """With the systems that the steps came from: of a batch, these may be several."""
        parts: dict[int, tuple[System, list[int], list[int]]] = {}
        for row, one in enumerate(self._systems):
            if one is not None:
                _, rows, places = parts.setdefault(id(one[0]), (one[0], [], []))
                rows.append(row)
                places.append(one[1])
        found = torch.zeros_like(a), torch.zeros_like(b), torch.zeros_like(a[:, 0])
        for system, rows, places in parts.values():
            index = torch.tensor(rows, device=a.device)
            solution = system.take(torch.tensor(places, device=a.device)).solve(a[index], b[index])
            for whole, part in zip(found, solution, strict=True):
                whole[index] = part
        return found

    def curve(self, mu: Sequence[float], tau: Sequence[float]) -> Sequence[Direction | None]:
        """The direction of lowest curvature on the constraints, by inverse iteration with the last system."""
        generator = torch.Generator().manual_seed(0)
        v = torch.randn(self.form.size, generator=generator, dtype=torch.float64).to(self.here.v)
        v = self._moving(v.expand_as(self.here.v))
        none = torch.zeros_like(self.here.rows)
        for _ in range(TURNS):
            v, _, residual = self._solved_again(v / v.norm(dim=1, keepdim=True), none)
        v = v / v.abs().amax(1, keepdim=True)
        downhill = torch.linalg.vecdot(self._downhill(mu), v)[:, None] >= 0
        return self._stepped(mu, tau, torch.where(downhill, v, -v), none, residual)

    def _moving(self, v: Tensor) -> Tensor:
        """V without what is fixed."""
        return torch.where(torch.nn.functional.pad(self.form.free, (0, self.form.size - self.form.n), value=True), v, 0)

    def attempt(self, lengths: Sequence[float], mu: Sequence[float]) -> Sequence[Trial]:
        """The values at a part of the step."""
        self._looked = [False] * len(self._v)
        self._v = torch.addcmul(self.here.v, self._column(lengths), self._step.v)
        value, self._rows = self.evaluator.values(self.form, self._v)
        return self._trials(value, mu)

    def look(self, lengths: Sequence[float], mu: Sequence[float]) -> Sequence[Trial]:
        """The same with derivatives."""
        length = self._column(lengths)
        self._v = torch.addcmul(self.here.v, length, self._step.v)
        self._there = self.evaluator.look(self.form, self._v, self.here.multipliers + length * self._step.multipliers)
        self._rows, self._looked = self._there.rows, [True] * len(self._v)
        value = torch.where(self._there.finite, self._there.value, torch.nan)
        return self._trials(value, mu)

    def accept(self, dual: Sequence[float], mu: Sequence[float]) -> None:
        """Move to the last trial, the multipliers of the bounds by another part of the step (§3.2, eq. 16)."""
        assert all(self._looked), "a point is looked at before it is taken"
        lower, upper = self._arithmetic.accepted(self._place, self._there, self._step, dual, mu)
        self.here = replace(self._there, lower=lower, upper=upper)

    def keep(self) -> None:
        """Remember the point."""
        self._kept = self.here

    def go_back(self) -> None:
        """To the point that was kept."""
        self.here = self._kept

    def move_bounds(self, v: Tensor, mu: Sequence[float], tau: Sequence[float]) -> None:
        """At v, which another phase found: z moves as far as it may on the way there."""
        lower, upper, numbers = self._arithmetic.step(self._place, mu, tau, v - self.here.v)
        part = self._column([one[2] for one in numbers])
        lower, upper = self.here.lower + part * lower, self.here.upper + part * upper
        large = torch.maximum(lower.amax(1), upper.amax(1))[:, None] > LARGE
        has = self.form.has_lower.to(lower), self.form.has_upper.to(upper)
        lower, upper = torch.where(large, has[0], lower), torch.where(large, has[1], upper)
        there = self.evaluator.look(self.form, v, torch.zeros_like(self.here.multipliers))
        self.here = replace(there, lower=lower, upper=upper)
        self.reset_multipliers()

    def relax(self, form: Form, mu: Sequence[float]) -> None:
        """With other bounds, which are farther apart: z of those that were close are too large then."""
        self.form, barrier = form, self._column(mu)
        above, below = form.distances(self.here.v)
        lower = torch.where(form.has_lower, torch.minimum(self.here.lower, barrier / above), 0)
        upper = torch.where(form.has_upper, torch.minimum(self.here.upper, barrier / below), 0)
        self.here = replace(self.here, lower=lower, upper=upper)

    def compare(self, v: Tensor, mu: Sequence[float]) -> Sequence[Trial]:
        """The values at v."""
        value, self._rows = self.evaluator.values(self.form, v)
        self._v = v
        return self._trials(value, mu)

    def _trials(self, value: Tensor, mu: Sequence[float]) -> Sequence[Trial]:
        numbers = self._arithmetic.trials(self._place, self._v, value, self._rows, mu, self._unscaled(value))
        return [Trial(*one) for one in numbers]

    def _unscaled(self, value: Tensor) -> Tensor:
        """The objective in the user's units; where it does not count, anything."""
        factor = self.evaluator.factor
        return value if factor is None else value / factor

    @property
    def _place(self) -> Place:
        return Place(self.form, self.proximal, self.here)

    def _downhill(self, mu: Sequence[float]) -> Tensor:
        """-(∇φ + Jᵀλ)."""
        return self._arithmetic.system(self._place, mu, [0.0] * len(mu))[1]

    def _with_bounds(self, mu: Sequence[float], tau: Sequence[float], v: Tensor, multipliers: Tensor) -> Move:
        """A step of v and λ, and what it makes of z."""
        return Move(v, multipliers, *self._arithmetic.step(self._place, mu, tau, v)[:2])

    def _stepped(
        self,
        mu: Sequence[float],
        tau: Sequence[float],
        v: Tensor,
        multipliers: Tensor,
        residual: Tensor,
        good: Tensor | None = None,
    ) -> Sequence[Direction | None]:
        """The step of v and λ is kept, with what it makes of z, and described where the system is good."""
        lower, upper, numbers = self._arithmetic.step(self._place, mu, tau, v)
        self._step = Move(v, multipliers, lower, upper)
        fine = [True] * len(v) if good is None else good.tolist()
        described = zip(numbers, residual.tolist(), fine, strict=True)
        return [Direction(*(*one, error)) if fit else None for one, error, fit in described]

    def _column(self, numbers: Sequence[float]) -> Tensor:
        """`(A, 1)`."""
        return self.here.v.new_tensor(numbers)[:, None]


def _chosen(which: Tensor, some: Sequence[Tensor], others: Sequence[Tensor]) -> Sequence[Tensor]:
    """Of problems, some as these and the rest as others."""
    if bool(which.all()):
        return some
    column = which[:, None]
    pairs = zip(some, others, strict=True)
    return [torch.where(which if one.ndim == 1 else column, one, other) for one, other in pairs]


def part_of(value: Any, rows: Tensor) -> Any:
    """Of a part of the state, that of some problems."""
    if isinstance(value, list):
        return [value[row] for row in rows.tolist()]
    if isinstance(value, Point):
        return value.part(rows)
    return value.take(rows) if hasattr(value, "look") else taken(value, rows)
