"""What an iteration computes entry by entry: in PyTorch here, in compiled loops in `loops`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from banded.hessian.lagrangian import Derivatives
from banded.optimize.interior.barrier import Proximal, barrier_slope, barrier_value, longest
from banded.optimize.interior.form import Form
from banded.optimize.interior.point import Move, Point

SMAX = 100.0  # mean of the multipliers from which errors are relative to it
SPREAD = 1e10  # κ_Σ, by which z may differ from μ / distance


class Place(NamedTuple):
    """Points of A barrier problems.

    Attributes:
        form: bounds and equations.
        proximal: in restoration.
        here: the points.
    """

    form: Form
    proximal: Proximal | None
    here: Point


def arithmetic(like: Tensor) -> Arithmetic:
    """The fastest for tensors like this one."""
    if like.device.type != "cpu":
        return Arithmetic()
    from banded.optimize.interior.loops import Loops  # numba takes half a second to load

    return Loops()


class Arithmetic:
    """In PyTorch; μ, τ and other numbers are one for each problem."""

    def looked(
        self,
        form: Form,
        factor: Tensor | None,
        scale: Tensor,
        v: Tensor,
        multipliers: Tensor,
        found: Derivatives,
    ) -> Point:
        """What was found at v `(A, N)` and λ `(A, m)`, scaled, without multipliers of bounds.

        Args:
            form: of the problems.
            factor: `(A,)`, of the objective, None where it does not count.
            scale: `(A, m)`, of the rows.
            v: the unknowns.
            multipliers: λ of the scaled rows.
            found: at v, for scale * λ; H is taken as it is, and J may be overwritten.
        """
        values = torch.where(form.free[:, found.J.columns], found.J.values * scale[..., None], 0)
        J = found.J.with_values(values)
        gradient = torch.where(form.free, found.gradient, 0)
        slope = gradient - J.transposed_times(multipliers)
        if form.blocks:
            costs = form.costs().expand(len(v), -1)
            slope = torch.cat([slope, costs], 1)
            gradient = torch.cat([gradient, costs + form.transposed(multipliers)], 1)
        value, rows = self.valued(form, factor, scale, v, found.value, found.rows)
        none = torch.zeros_like(v)
        parts = (slope, values, *found.H.tensors)  # of finite numbers the sum is, but for an overflow, which is as bad
        total: Tensor = sum((one.reshape(len(one), -1).sum(1) for one in parts), value)
        return Point(v, multipliers, none, none, value, rows, slope, gradient, total.isfinite(), J, found.H)

    def valued(
        self, form: Form, factor: Tensor | None, scale: Tensor, v: Tensor, value: Tensor, rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The objective `(A,)` and the equations `(A, m)`, from f and r, with arguments as above."""
        objective = torch.zeros_like(value) if factor is None else factor * value
        if form.blocks:
            objective = objective + v[:, form.n :] @ form.costs()
        return objective, form.add_rows(scale * rows, v)

    def measures(self, at: Place, mu: Sequence[float], objective: Tensor) -> list[list[float]]:
        """The numbers of `Measure`, in its order, with the objective `(A,)` in the user's units."""
        form, proximal, here = at
        barrier = _column(mu, here.v)
        above, below = form.distances(here.v)
        gradient = here.gradient - here.lower + here.upper
        if proximal is not None:
            gradient = gradient + proximal.slope(here.v, barrier)
        products = here.lower * above, here.upper * below
        total = products[0].sum(1) + products[1].sum(1)
        has = form.has_lower, form.has_upper
        largest = [torch.where(one, product, 0).amax(1) for one, product in zip(has, products, strict=True)]
        apart = [
            torch.where(one, (product - barrier).abs(), 0).amax(1) for one, product in zip(has, products, strict=True)
        ]
        sums = (here.lower + here.upper).sum(1)
        bounds = (has[0].sum(1) + has[1].sum(1)).to(sums)
        norm = here.multipliers.abs().sum(1)
        violation = here.rows.abs()
        answers = [
            violation.sum(1),
            _barrier_function(form, proximal, here.v, here.value, barrier),
            gradient.abs().amax(1),
            violation.amax(1) if form.m else sums * 0,
            torch.maximum(*largest),
            torch.maximum(*apart),
            ((norm + sums) / (bounds + form.m).clamp(min=1)).clamp(min=SMAX) / SMAX,
            (sums / bounds.clamp(min=1)).clamp(min=SMAX) / SMAX,
            objective,
            (here.multipliers.abs() * violation).sum(1) + total,
            here.value.abs().clamp(min=1),
            total / bounds.clamp(min=1),
        ]
        return _lists(answers)

    def system(self, at: Place, mu: Sequence[float], shift: Sequence[float]) -> tuple[Tensor, Tensor]:
        """`(A, N)` each: S = Σ + δ, 1 for fixed unknowns, and the right-hand side -(∇φ + Jᵀλ)."""
        form, proximal, here = at
        barrier = _column(mu, here.v)
        above, below = form.distances(here.v)
        S = here.lower / above + here.upper / below + _column(shift, here.v)
        optimality = here.gradient + barrier_slope(form, here.v, barrier)
        if proximal is not None:
            S = S + proximal.curvature(here.v, barrier)
            optimality = optimality + proximal.slope(here.v, barrier)
        S[:, : form.n] = torch.where(form.free, S[:, : form.n], 1)
        return S, -optimality

    def step(
        self, at: Place, mu: Sequence[float], tau: Sequence[float], v: Tensor
    ) -> tuple[Tensor, Tensor, list[list[float]]]:
        """What a step of v `(A, N)` makes of both z (eq. 12), and the first five numbers of `Direction`."""
        form, proximal, here = at
        barrier, part = _column(mu, v), _column(tau, v)[:, 0]
        above, below = form.distances(here.v)
        lower = torch.where(form.has_lower, (barrier - here.lower * v) / above - here.lower, 0)
        upper = torch.where(form.has_upper, (barrier + here.upper * v) / below - here.upper, 0)
        slope = here.slope + barrier_slope(form, here.v, barrier)
        if proximal is not None:
            slope = slope + proximal.slope(here.v, barrier)
        ways = torch.where(form.has_lower, v, 0), torch.where(form.has_upper, -v, 0)
        size = v.abs()
        answers = [
            torch.linalg.vecdot(slope, v),
            longest(torch.cat([above, below], 1), torch.cat(ways, 1), part),
            longest(torch.cat([here.lower, here.upper], 1), torch.cat([lower, upper], 1), part),
            (size / (1 + here.v.abs())).amax(1),
            size.amax(1),
        ]
        return lower, upper, _lists(answers)

    def trials(
        self,
        at: Place,
        v: Tensor,
        value: Tensor,
        rows: Tensor,
        mu: Sequence[float],
        objective: Tensor,
    ) -> list[list[float]]:
        """The numbers of `Trial`, from the values at v `(A, N)`, with the objective `(A,)` in the user's units."""
        form, proximal, here = at
        phi = _barrier_function(form, proximal, v, value, _column(mu, v))
        violation = rows.abs()
        largest = violation.amax(1) if form.m else 0 * value
        lagrangian = phi + torch.linalg.vecdot(here.multipliers, rows)
        return _lists([violation.sum(1), phi, objective, largest, lagrangian])

    def accepted(
        self, at: Place, there: Point, step: Move, dual: Sequence[float], mu: Sequence[float]
    ) -> tuple[Tensor, Tensor]:
        """Both z after this part of a step that leads to another point (§3.2, eq. 16)."""
        form, here = at.form, at.here
        part, barrier = _column(dual, here.v), _column(mu, here.v)
        found = here.lower + part * step.lower, here.upper + part * step.upper
        near = [barrier / one for one in form.distances(there.v)]
        lower, upper = (
            torch.where(has, torch.minimum(torch.maximum(z, one / SPREAD), one * SPREAD), 0)
            for has, z, one in zip((form.has_lower, form.has_upper), found, near, strict=True)
        )
        return lower, upper


def _barrier_function(form: Form, proximal: Proximal | None, v: Tensor, value: Tensor, mu: Tensor) -> Tensor:
    phi = value + barrier_value(form, v, mu)
    return phi if proximal is None else phi + proximal.value(v, mu)


def _column(numbers: Sequence[float], like: Tensor) -> Tensor:
    """`(A, 1)`."""
    return like.new_tensor(numbers)[:, None]


def _lists(numbers: list[Tensor]) -> list[list[float]]:
    """Numbers `(A,)`, problem by problem."""
    found: list[list[float]] = torch.stack(numbers, 1).tolist()
    return found
