"""Which barrier parameter a step should aim for."""

from __future__ import annotations

import torch
from torch import Tensor

from banded.optimize.interior.barrier import longest
from banded.optimize.interior.form import Form
from banded.optimize.interior.point import Move, Point

TRIED = 17  # μ, in geometric sequence
LOWEST, HIGHEST = -6.0, 2.0  # decimal logarithms of the first and last, beside the mean complementarity


def best_barrier(
    form: Form, here: Point, gradient: Tensor, affine: Move, central: Move, limits: tuple[Tensor, Tensor], tau: Tensor
) -> Tensor:
    """`(A, 1)`: the μ for which the step `affine` + μ `central` promises least to be left of the optimality conditions.

    That is the quality function of Nocedal, Wächter & Waltz (2009, SIAM J. Optim. 19:1674-1693), §4: the mean squares
    of what the step leaves of the gradient, of the equations and of complementarity, the first two to first order.

    Args:
        form: of the problems.
        here: where they are.
        gradient: `(A, N)`, of the Lagrangian there, with bounds.
        affine: the step for μ = 0.
        central: what μ = 1 adds to it.
        limits: `(A, 1)` each, the least and the largest μ.
        tau: `(A,)`: of the way to the bounds, how much a step may go.
    """
    above, below = form.distances(here.v)
    has = form.has_lower.to(here.v), form.has_upper.to(here.v)
    count = (has[0] + has[1]).sum(1).clamp(min=1)
    mean = (here.lower * above + here.upper * below).sum(1) / count
    shares = torch.logspace(LOWEST, HIGHEST, TRIED, dtype=mean.dtype, device=mean.device)
    mu = torch.minimum((shares[:, None] * mean)[..., None].clamp(min=limits[0]), limits[1])  # (TRIED, A, 1)
    v, _, lower, upper = (one + mu * other for one, other in zip(affine, central, strict=True))
    primal = longest(torch.cat([above, below], -1), torch.cat([has[0] * v, -has[1] * v], -1), tau)
    dual = longest(torch.cat([here.lower, here.upper], -1), torch.cat([lower, upper], -1), tau)
    pushed = has[0] * (above + primal[..., None] * v) * (here.lower + dual[..., None] * lower)
    pulled = has[1] * (below - primal[..., None] * v) * (here.upper + dual[..., None] * upper)
    left = (pushed.square().sum(-1) + pulled.square().sum(-1)) / count
    left += (1 - dual).square() * gradient.square().mean(1)
    left += (1 - primal).square() * here.rows.square().sum(1) / max(1, form.m)
    return mu.gather(0, left.nan_to_num(torch.inf).argmin(0)[None, :, None])[0]
