"""Starts from the multipliers of a problem like the one at hand."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from banded.optimize.interior.evaluator import Evaluator
from banded.optimize.interior.form import KAPPA, Form
from banded.optimize.interior.point import Point

SHARE = 1e-5  # of the error at the start, that μ begins with
LEAST, MOST = 1e-11, 1e-2  # and its limits


class Forces(NamedTuple):
    """Multipliers of A problems, in the user's units.

    Attributes:
        multipliers: `(A, m)`: of the rows, in f + λ·r.
        lower, upper: `(A, n)`: of the bounds.
    """

    multipliers: Tensor
    lower: Tensor
    upper: Tensor

    def start(self, form: Form, functions: Evaluator, v: Tensor, factor: Tensor, scale: Tensor) -> tuple[Point, Tensor]:
        """A point near v `(A, N)` with multipliers on the central path, and its μ `(A,)`.

        μ is a share of the error that the given multipliers leave at v. Of each distance to a bound and its
        multiplier, whose product has to be μ, the smaller one gives way.

        Args:
            form: of the problems.
            functions: of the problems.
            v: where to start, as it was given.
            factor: `(A,)`, of the objective.
            scale: `(A, m)`, of the rows.
        """
        slacks = form.size - form.n
        scaled = self.multipliers.to(v) * factor[:, None] / scale
        force = (-scaled[:, form.m - slacks :]).clamp(min=0)
        pushed = torch.where(form.has_lower, torch.cat([self.lower.to(v) * factor[:, None], force], 1), 0)
        upper = torch.cat([self.upper.to(v) * factor[:, None], torch.zeros_like(force)], 1)
        pulled = torch.where(form.has_upper, upper, 0)
        here = functions.look(form, v, scaled)
        mu = self._mu(form, here, pushed, pulled)[:, None]
        narrow = form.has_lower & form.has_upper
        room = torch.where(narrow, KAPPA * (form.upper - form.lower), torch.inf)
        least = [torch.minimum(mu / torch.maximum(z, mu.sqrt()), room) for z in (pushed, pulled)]
        v = torch.where(form.has_lower, torch.maximum(v, form.lower + least[0]), v)
        v = torch.where(form.has_upper, torch.minimum(v, form.upper - least[1]), v)
        above, below = form.distances(v)
        here = functions.look(form, v, scaled)
        lower, upper = torch.where(form.has_lower, mu / above, 0), torch.where(form.has_upper, mu / below, 0)
        return replace(here, lower=lower, upper=upper), mu[:, 0]

    @staticmethod
    def _mu(form: Form, here: Point, pushed: Tensor, pulled: Tensor) -> Tensor:
        gradient = here.gradient - pushed + pulled
        gradient[:, : form.n] = torch.where(form.free, gradient[:, : form.n], 0)
        above, below = form.distances(here.v)
        error = torch.maximum(gradient.abs().amax(1), (pushed * above.abs() + pulled * below.abs()).amax(1))
        out = torch.where(form.has_lower, -above, 0).amax(1), torch.where(form.has_upper, -below, 0).amax(1)
        error = torch.maximum(error, torch.maximum(*out))
        if form.m:
            error = torch.maximum(error, here.rows.abs().amax(1))
        return (SHARE * error).clamp(LEAST, MOST)
