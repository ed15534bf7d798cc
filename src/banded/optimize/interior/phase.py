"""The state of a phase, regular or restoration, of A problems, and the answers that it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from banded.matrix.rows import Congruence
from banded.optimize.interior.form import Form
from banded.optimize.interior.kkt import EPSILON, System, condensed
from banded.optimize.interior.point import Point
from banded.optimize.interior.questions import Direction, Measure, Trial

SMAX = 100.0  # mean of the multipliers from which errors are relative to it
DAMPING = 1e-5  # κ_d, of unknowns with one bound, that they do not run away
SPREAD = 1e10  # κ_Σ, by which z may differ from μ / distance
LARGE = 1e3  # of least-squares multipliers, from which none are better
POOR = 1e-8  # relative residual from which the system is condensed with another ε
OTHERS = (1e-2, 1e2)  # times ε


class Evaluator(Protocol):
    """The functions of a phase."""

    def look(self, v: Tensor, multipliers: Tensor) -> Point:
        """Everything at v `(A, N)` and λ `(A, m)`, without multipliers of bounds."""
        ...

    def values(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """The objective `(A,)` and the equations `(A, m)` at v."""
        ...


@dataclass(frozen=True, eq=False)
class Proximal:
    """ζ/2 Σ w (v - anchor)² in the objective, ζ = √μ, which keeps restoration near where it began.

    Attributes:
        weight, anchor: `(A, K)`, of the first K unknowns v.
    """

    weight: Tensor
    anchor: Tensor

    def value(self, v: Tensor, mu: Tensor) -> Tensor:
        """`(A,)`."""
        return 0.5 * mu[:, 0].sqrt() * (self.weight * self._away(v).square()).sum(1)

    def slope(self, v: Tensor, mu: Tensor) -> Tensor:
        """`(A, N)`."""
        return self._padded(mu.sqrt() * self.weight * self._away(v), v)

    def curvature(self, v: Tensor, mu: Tensor) -> Tensor:
        """`(A, N)`."""
        return self._padded(mu.sqrt() * self.weight, v)

    def _away(self, v: Tensor) -> Tensor:
        return v[:, : self.anchor.shape[1]] - self.anchor

    def _padded(self, part: Tensor, v: Tensor) -> Tensor:
        return torch.nn.functional.pad(part, (0, v.shape[1] - part.shape[1]))


class Move(NamedTuple):
    """A step: of v `(A, N)`, of λ `(A, m)`, and of both z `(A, N)`."""

    v: Tensor
    multipliers: Tensor
    lower: Tensor
    upper: Tensor


@dataclass(eq=False)
class Phase:
    """Where A problems are, the step that leaves from there, and the last trial along it.

    Attributes:
        form: bounds and equations.
        evaluator: the functions.
        congruence: JᵀDJ in the storage of H.
        here: where the problems are.
        proximal: in restoration.
    """

    form: Form
    evaluator: Evaluator
    congruence: Congruence
    here: Point
    proximal: Proximal | None = None

    def __post_init__(self) -> None:
        self._epsilon = torch.full_like(self.here.value, EPSILON)
        self._system: System | None = None
        self._step: Move | None = None
        self._v, self._rows = self.here.v, self.here.rows  # of the last trial
        self._there: Point | None = None  # with derivatives
        self._correction = self.here.rows
        sides = self.form.has_lower, self.form.has_upper
        self._bounded = bool(sides[0].any()), bool(sides[1].any())
        self._one_sided = (sides[0] & ~sides[1]).to(self.here.v) - (sides[1] & ~sides[0]).to(self.here.v)

    def measure(self, mu: Sequence[float]) -> Sequence[Measure]:
        """For the barrier parameters μ."""
        here, form = self.here, self.form
        barrier = self._column(mu)
        above, below = form.distances(here.v)
        gradient = self._gradient(barrier) - here.lower + here.upper
        products = here.lower * above, here.upper * below
        has = form.has_lower, form.has_upper
        largest = [torch.where(one, product, 0).amax(1) for one, product in zip(has, products, strict=True)]
        apart = [
            torch.where(one, (product - barrier).abs(), 0).amax(1) for one, product in zip(has, products, strict=True)
        ]
        sums = (here.lower + here.upper).sum(1)
        bounds = (has[0].sum(1) + has[1].sum(1)).to(sums)
        norm = here.multipliers.abs().sum(1)
        dual_scale = ((norm + sums) / (bounds + form.m).clamp(min=1)).clamp(min=SMAX) / SMAX
        scale = (sums / bounds.clamp(min=1)).clamp(min=SMAX) / SMAX
        violation = here.rows.abs()
        answers = torch.stack(
            [
                violation.sum(1),
                self._barrier_function(here.v, here.value, barrier),
                gradient.abs().amax(1),
                violation.amax(1) if form.m else sums * 0,
                torch.maximum(*largest),
                torch.maximum(*apart),
                dual_scale,
                scale,
                here.value,
            ],
            1,
        )
        return [Measure(*one) for one in answers.tolist()]

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
        here = self.evaluator.look(self.here.v, multipliers)
        self.here = replace(here, lower=self.here.lower, upper=self.here.upper)

    def direction(
        self, mu: Sequence[float], tau: Sequence[float], shift: Sequence[float], compliance: Sequence[float]
    ) -> Sequence[Direction | None]:
        """The step for μ, δ and δ_c; None where the system has not the inertia that it takes."""
        here = self.here
        barrier, delta = self._column(mu), self._column(shift)
        above, below = self.form.distances(here.v)
        S = here.lower / above + here.upper / below + delta
        if self.proximal is not None:
            S = S + self.proximal.curvature(here.v, barrier)
        S[:, : self.form.n] = torch.where(self.form.free, S[:, : self.form.n], 1)
        soft = self._column(compliance)[:, 0]
        a, b = -self._optimality(barrier), -here.rows
        found = self._solved(S, soft, a, b)
        if found is None:
            return [None] * len(here.v)
        (v, multipliers, residual), good = found
        self._step = self._with_bounds(v, multipliers, barrier)
        return self._described(self._step, barrier, tau, residual, good)

    def _solved(
        self, S: Tensor, soft: Tensor, a: Tensor, b: Tensor
    ) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor] | None:
        """The solution and where the matrix is definite, with the ε that serves best; None where it nowhere is."""
        best: tuple[Tensor, Tensor, Tensor] | None = None
        tried = self._epsilon
        for factor in (1.0, *OTHERS):
            system = condensed(self.form, self.here.H, self.here.J, S, soft, self.congruence, tried * factor)
            if not bool(system.good.any()):
                if best is None:
                    return None
                continue
            found = system.solve(a, b)
            if best is None or bool((found[2] < best[2]).all()):
                best, self._system, self._epsilon = found, system, tried * factor
            if not bool((best[2] > POOR).any()) or not self.form.m:
                break
        assert best is not None and self._system is not None
        return best, self._system.good

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
        assert self._system is not None and self._step is not None
        barrier = self._column(mu)
        start = torch.where(self._column(first) > 0, self.here.rows, self._correction)
        self._correction = self._column(length) * start + self._rows
        v, multipliers, residual = self._system.solve(-self._optimality(barrier), -self._correction)
        self._step = self._step._replace(v=v, multipliers=multipliers)
        return self._described(self._step, barrier, tau, residual, self._system.good)

    def attempt(self, lengths: Sequence[float], mu: Sequence[float]) -> Sequence[Trial]:
        """The values at a part of the step."""
        assert self._step is not None
        self._there = None
        self._v = torch.addcmul(self.here.v, self._column(lengths), self._step.v)
        value, self._rows = self.evaluator.values(self._v)
        return self._trials(value, mu)

    def look(self, lengths: Sequence[float], mu: Sequence[float]) -> Sequence[Trial]:
        """The same with derivatives."""
        assert self._step is not None
        length = self._column(lengths)
        self._v = torch.addcmul(self.here.v, length, self._step.v)
        self._there = self.evaluator.look(self._v, self.here.multipliers + length * self._step.multipliers)
        self._rows = self._there.rows
        value = torch.where(self._there.is_finite(), self._there.value, torch.nan)
        return self._trials(value, mu)

    def take(self, lengths: Sequence[float], dual: Sequence[float], mu: Sequence[float]) -> None:
        """Move to the last trial, the multipliers of the bounds by another part of the step (§3.2, eq. 16)."""
        assert self._step is not None
        part, barrier = self._column(dual), self._column(mu)
        if self._there is None:
            multipliers = self.here.multipliers + self._column(lengths) * self._step.multipliers
            self._there = self.evaluator.look(self._v, multipliers)
        above, below = self.form.distances(self._there.v)
        lower, upper = self.here.lower + part * self._step.lower, self.here.upper + part * self._step.upper
        near = (barrier / above, barrier / below)
        lower, upper = (
            torch.where(has, torch.minimum(torch.maximum(z, one / SPREAD), one * SPREAD), 0)
            for has, z, one in zip((self.form.has_lower, self.form.has_upper), (lower, upper), near, strict=True)
        )
        self.here = replace(self._there, lower=lower, upper=upper)
        self._there = self._step = self._system = None

    def move_bounds(self, v: Tensor, mu: Sequence[float], tau: Sequence[float]) -> None:
        """At v, which another phase found: z moves as far as it may on the way there."""
        barrier = self._column(mu)
        step = self._with_bounds(v - self.here.v, torch.zeros_like(self.here.multipliers), barrier)
        part = self._longest(torch.cat([self.here.lower, self.here.upper], 1), torch.cat(step[2:], 1), tau)[:, None]
        lower, upper = self.here.lower + part * step.lower, self.here.upper + part * step.upper
        large = torch.maximum(lower.amax(1), upper.amax(1))[:, None] > LARGE
        has = self.form.has_lower.to(lower), self.form.has_upper.to(upper)
        lower, upper = torch.where(large, has[0], lower), torch.where(large, has[1], upper)
        there = self.evaluator.look(v, torch.zeros_like(self.here.multipliers))
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
        value, self._rows = self.evaluator.values(v)
        self._v = v
        return self._trials(value, mu)

    def _trials(self, value: Tensor, mu: Sequence[float]) -> Sequence[Trial]:
        phi = self._barrier_function(self._v, value, self._column(mu))
        rows = self._rows.abs()
        largest = rows.amax(1) if self.form.m else 0 * value
        return [Trial(*one) for one in torch.stack([rows.sum(1), phi, value, largest], 1).tolist()]

    def _gradient(self, mu: Tensor) -> Tensor:
        """Of the Lagrangian, without the bounds: `(A, N)`."""
        here = self.here
        pulled = torch.cat([here.J.transposed_times(here.multipliers), self.form.transposed(here.multipliers)], 1)
        gradient = here.slope + pulled
        return gradient if self.proximal is None else gradient + self.proximal.slope(here.v, mu)

    def _optimality(self, mu: Tensor) -> Tensor:
        """∇φ + Jᵀλ."""
        return self._gradient(mu) + self._barrier_slope(mu)

    def _barrier_slope(self, mu: Tensor) -> Tensor:
        if not any(self._bounded):
            return torch.zeros_like(self.here.v)
        above, below = self.form.distances(self.here.v)
        slope = self.form.has_upper / below - self.form.has_lower / above + DAMPING * self._one_sided
        return mu * slope

    def _barrier_function(self, v: Tensor, value: Tensor, mu: Tensor) -> Tensor:
        phi = value if self.proximal is None else value + self.proximal.value(v, mu)
        if not any(self._bounded):
            return phi
        above, below = self.form.distances(v)
        logarithms = above.log().sum(1) + below.log().sum(1)
        damped = torch.where(self._one_sided > 0, above, 0).sum(1) + torch.where(self._one_sided < 0, below, 0).sum(1)
        return phi + mu[:, 0] * (DAMPING * damped - logarithms)

    def _with_bounds(self, v: Tensor, multipliers: Tensor, mu: Tensor) -> Move:
        """A step of v and λ, and what it makes of z (eq. 12)."""
        here, form = self.here, self.form
        above, below = form.distances(here.v)
        lower = torch.where(form.has_lower, (mu - here.lower * v) / above - here.lower, 0)
        upper = torch.where(form.has_upper, (mu + here.upper * v) / below - here.upper, 0)
        return Move(v, multipliers, lower, upper)

    def _described(
        self, step: Move, mu: Tensor, tau: Sequence[float], residual: Tensor, good: Tensor
    ) -> Sequence[Direction | None]:
        here, form = self.here, self.form
        slope = here.slope + self._barrier_slope(mu)
        if self.proximal is not None:
            slope = slope + self.proximal.slope(here.v, mu)
        ones = slope.new_ones(len(slope))
        primal = dual = ones
        if any(self._bounded):
            above, below = form.distances(here.v)
            ways = torch.where(form.has_lower, step.v, 0), torch.where(form.has_upper, -step.v, 0)
            primal = self._longest(torch.cat([above, below], 1), torch.cat(ways, 1), tau)
            dual = self._longest(torch.cat([here.lower, here.upper], 1), torch.cat(step[2:], 1), tau)
        size = step.v.abs()
        answers = torch.stack(
            [
                torch.linalg.vecdot(slope, step.v),
                primal,
                dual,
                (size / (1 + here.v.abs())).amax(1),
                size.amax(1),
                residual,
            ],
            1,
        )
        return [Direction(*one) if fine else None for one, fine in zip(answers.tolist(), good.tolist(), strict=True)]

    def _longest(self, room: Tensor, step: Tensor, tau: Sequence[float]) -> Tensor:
        """`(A,)`: the longest part of a step, 1 at most, that uses up no more than τ of the room (eq. 15)."""
        used = (-step / torch.where(room > 0, room, 1)).amax(1)
        return (self._column(tau)[:, 0] / used.clamp(min=torch.finfo(used.dtype).tiny)).clamp(max=1)

    def _column(self, numbers: Sequence[float]) -> Tensor:
        """`(A, 1)`."""
        return self.here.v.new_tensor(numbers)[:, None]
