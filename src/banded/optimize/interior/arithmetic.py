"""What there is to compute of a point, entry by entry: by compiled loops on the CPU, by PyTorch elsewhere.

Of A problems with N unknowns v and m rows. μ, δ and τ are `(A,)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from banded.optimize.interior.barrier import Proximal, barrier_slope, barrier_value, longest
from banded.optimize.interior.form import Form
from banded.optimize.interior.point import Point

SPREAD = 1e10  # κ_Σ, by which z may differ from μ / distance


def pulled(form: Form, here: Point) -> Tensor:
    """`(A, N)`: the transposed Jacobian, that of y included, times λ."""
    of_x = here.J.transposed_times(here.multipliers)
    return torch.cat([of_x, form.transposed(here.multipliers)], 1) if form.blocks else of_x


def optimality(form: Form, here: Point, proximal: Proximal | None, mu: Tensor) -> Tensor:
    """`(A, N)`: ∇φ + Jᵀλ."""
    if not _in_loops(here.v):
        total = here.slope + pulled(form, here) + barrier_slope(form, here.v, mu[:, None])
        return total if proximal is None else total + proximal.slope(here.v, mu[:, None])
    from banded.optimize.interior import arithmetic_kernels  # numba takes half a second to load

    out = torch.empty_like(here.v)
    arithmetic_kernels.optimality(
        *_arrays(here.v, here.slope, pulled(form, here)), *form.arrays, *_proximal(proximal, here.v), *_arrays(mu, out)
    )
    return out


def diagonal(form: Form, here: Point, proximal: Proximal | None, mu: Tensor, delta: Tensor) -> Tensor:
    """`(A, N)`: Σ + δ, with what the proximal term adds; 1 for unknowns that are fixed."""
    if not _in_loops(here.v):
        above, below = form.distances(here.v)
        S = here.lower / above + here.upper / below + delta[:, None]
        if proximal is not None:
            S = S + proximal.curvature(here.v, mu[:, None])
        S[:, : form.n] = torch.where(form.free, S[:, : form.n], 1)
        return S
    from banded.optimize.interior import arithmetic_kernels  # as above

    out = torch.empty_like(here.v)
    weight, _ = _proximal(proximal, here.v)
    *bounds, _ = form.arrays
    arithmetic_kernels.diagonal(
        *_arrays(here.v, here.lower, here.upper), *bounds, form.free.numpy(), weight, *_arrays(mu, delta, out)
    )
    return out


def barrier(form: Form, v: Tensor, proximal: Proximal | None, mu: Tensor) -> Tensor:
    """`(A,)`: what is added to the objective."""
    if not _in_loops(v):
        total = barrier_value(form, v, mu[:, None])
        return total if proximal is None else total + proximal.value(v, mu[:, None])
    from banded.optimize.interior import arithmetic_kernels  # as above

    out = torch.empty_like(mu)
    arithmetic_kernels.barrier(*_arrays(v), *form.arrays, *_proximal(proximal, v), *_arrays(mu, out))
    return out


def moved(form: Form, here: Point, step: Tensor, mu: Tensor) -> tuple[Tensor, Tensor]:
    """`(A, N)` each: what a step of v makes of z (eq. 12)."""
    if not _in_loops(here.v):
        above, below = form.distances(here.v)
        lower = (mu[:, None] - here.lower * step) / above - here.lower
        upper = (mu[:, None] + here.upper * step) / below - here.upper
        return torch.where(form.has_lower, lower, 0), torch.where(form.has_upper, upper, 0)
    from banded.optimize.interior import arithmetic_kernels  # as above

    lower, upper = torch.empty_like(here.v), torch.empty_like(here.v)
    *bounds, _ = form.arrays
    arithmetic_kernels.moved(*_arrays(here.v, here.lower, here.upper), *bounds, *_arrays(step, mu, lower, upper))
    return lower, upper


def described(
    form: Form,
    here: Point,
    proximal: Proximal | None,
    step: tuple[Tensor, Tensor, Tensor],
    mu: Tensor,
    tau: Tensor,
) -> Tensor:
    """`(A, 5)`, of a step of v and both z: slope of φ, longest part for v, for z, largest |d| / (1 + |v|), |d|."""
    if not _in_loops(here.v):
        return _described(form, here, proximal, step, mu, tau)
    from banded.optimize.interior import arithmetic_kernels  # as above

    out = here.v.new_empty(len(here.v), 5)
    arithmetic_kernels.described(
        *_arrays(here.v, here.lower, here.upper, here.slope),
        *form.arrays,
        *_proximal(proximal, here.v),
        *_arrays(*step, mu, tau, out),
    )
    return out


def _described(
    form: Form,
    here: Point,
    proximal: Proximal | None,
    step: tuple[Tensor, Tensor, Tensor],
    mu: Tensor,
    tau: Tensor,
) -> Tensor:
    v, lower, upper = step
    slope = here.slope + barrier_slope(form, here.v, mu[:, None])
    if proximal is not None:
        slope = slope + proximal.slope(here.v, mu[:, None])
    above, below = form.distances(here.v)
    ways = torch.where(form.has_lower, v, 0), torch.where(form.has_upper, -v, 0)
    primal = longest(torch.cat([above, below], 1), torch.cat(ways, 1), tau)
    dual = longest(torch.cat([here.lower, here.upper], 1), torch.cat([lower, upper], 1), tau)
    size = v.abs()
    parts = [torch.linalg.vecdot(slope, v), primal, dual, (size / (1 + here.v.abs())).amax(1), size.amax(1)]
    return torch.stack(parts, 1)


def taken(form: Form, v: Tensor, lower: Tensor, upper: Tensor, mu: Tensor) -> tuple[Tensor, Tensor]:
    """`(A, N)` each: z kept within a factor of μ / distance (eq. 16)."""
    if not _in_loops(v):
        near = [mu[:, None] / distance for distance in form.distances(v)]
        kept = [
            torch.minimum(torch.maximum(z, one / SPREAD), one * SPREAD)
            for z, one in zip((lower, upper), near, strict=True)
        ]
        return torch.where(form.has_lower, kept[0], 0), torch.where(form.has_upper, kept[1], 0)
    from banded.optimize.interior import arithmetic_kernels  # as above

    first, second = torch.empty_like(v), torch.empty_like(v)
    *bounds, _ = form.arrays
    arithmetic_kernels.taken(*_arrays(v, lower, upper), *bounds, mu.numpy(), SPREAD, *_arrays(first, second))
    return first, second


def measured(form: Form, here: Point, proximal: Proximal | None, mu: Tensor) -> Tensor:
    """`(A, 10)`: how far a point is from an optimum of the barrier problem.

    Σ |c|; largest |∇L|, |c|, product of a bound and of what a product is from μ; Σ |λ|, Σ z, how many bounds;
    Σ |λ c| and the sum of all products.
    """
    if not _in_loops(here.v):
        return _measured(form, here, proximal, mu)
    from banded.optimize.interior import arithmetic_kernels  # as above

    out = here.v.new_empty(len(here.v), 10)
    *bounds, _ = form.arrays
    arithmetic_kernels.measured(
        *_arrays(here.v, here.lower, here.upper, here.multipliers, here.rows, here.slope, pulled(form, here)),
        *bounds,
        *_proximal(proximal, here.v),
        *_arrays(mu, out),
    )
    return out


def _measured(form: Form, here: Point, proximal: Proximal | None, mu: Tensor) -> Tensor:
    above, below = form.distances(here.v)
    gradient = here.slope + pulled(form, here) - here.lower + here.upper
    if proximal is not None:
        gradient = gradient + proximal.slope(here.v, mu[:, None])
    has = torch.cat([form.has_lower, form.has_upper], 1)
    z = torch.cat([here.lower, here.upper], 1)
    products = torch.where(has, z * torch.cat([above, below], 1), 0)
    violation = here.rows.abs()
    size = here.multipliers.abs()
    parts = [
        violation.sum(1),
        gradient.abs().amax(1),
        violation.amax(1) if form.m else mu * 0,
        products.amax(1),
        torch.where(has, (products - mu[:, None]).abs(), 0).amax(1),
        size.sum(1),
        z.sum(1),
        has.sum(1).to(mu),
        (size * violation).sum(1),
        products.sum(1),
    ]
    return torch.stack(parts, 1)


def _in_loops(v: Tensor) -> bool:
    return v.device.type == "cpu"


def _arrays(*tensors: Tensor) -> list[np.ndarray[Any, Any]]:
    return [one.contiguous().numpy() for one in tensors]


def _proximal(proximal: Proximal | None, v: Tensor) -> list[np.ndarray[Any, Any]]:
    """Weights and anchors, of no unknowns where there is no such term."""
    if proximal is None:
        return _arrays(v[:, :0], v[:, :0])
    return _arrays(proximal.weight, proximal.anchor)
