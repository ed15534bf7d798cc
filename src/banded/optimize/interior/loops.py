"""The arithmetic of an iteration in compiled loops, on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from banded.hessian.lagrangian import Derivatives
from banded.optimize.interior import arithmetic_kernels
from banded.optimize.interior.arithmetic import SMAX, SPREAD, Arithmetic, Place
from banded.optimize.interior.barrier import Proximal
from banded.optimize.interior.form import Form
from banded.optimize.interior.point import Move, Point


class Loops(Arithmetic):
    """As `Arithmetic`, of doubles."""

    def looked(
        self,
        form: Form,
        factor: Tensor | None,
        scale: Tensor,
        v: Tensor,
        multipliers: Tensor,
        found: Derivatives,
    ) -> Point:
        """In one pass."""
        count, shape = len(v), (len(v), form.size)
        sums: Tensor = sum((one.sum((1, 2)) for one in found.H.tensors), v.new_zeros(count))
        value, rows, J = found.value.clone(), found.rows.clone(), found.J.with_values(found.J.values.contiguous())
        slope, gradient, finite = v.new_empty(shape), v.new_empty(shape), torch.empty(count, dtype=torch.bool)
        given = v, multipliers, torch.zeros_like(value) if factor is None else factor, scale, found.gradient
        made = J.values, value, rows, slope, gradient, sums, finite
        arithmetic_kernels.looked(
            form.arrays[-1], form.block_arrays, J.columns.numpy(), *(_array(one) for one in (*given, *made))
        )
        none = torch.zeros_like(v)
        return Point(v, multipliers, none, none, value, rows, slope, gradient, finite, J, found.H)

    def measures(self, at: Place, mu: Sequence[float], objective: Tensor) -> list[list[float]]:
        """In one pass or two."""
        here, out = at.here.arrays, np.empty((len(mu), 12))
        arithmetic_kernels.measures(
            at.form.arrays, _near(at.proximal, here.v), here.v, here.multipliers, here.z, here.value, here.rows,
            here.gradient, _numbers(mu), objective.numpy(), SMAX, out,
        )  # fmt: skip
        return _lists(out)

    def system(self, at: Place, mu: Sequence[float], shift: Sequence[float]) -> tuple[Tensor, Tensor]:
        """In one pass."""
        here = at.here.arrays
        S, a = np.empty_like(here.v), np.empty_like(here.v)
        near = _near(at.proximal, here.v)
        arithmetic_kernels.system(
            at.form.arrays, near, here.v, here.z, here.gradient, _numbers(mu), _numbers(shift), S, a
        )
        return torch.from_numpy(S), torch.from_numpy(a)

    def step(
        self, at: Place, mu: Sequence[float], tau: Sequence[float], v: Tensor
    ) -> tuple[Tensor, Tensor, list[list[float]]]:
        """In one pass."""
        here, out = at.here.arrays, np.empty((len(mu), 5))
        dz = np.empty_like(here.v), np.empty_like(here.v)
        arithmetic_kernels.step(
            at.form.arrays, _near(at.proximal, here.v), here.v, here.z, here.slope, _array(v), _numbers(mu),
            _numbers(tau), dz, out,
        )  # fmt: skip
        return torch.from_numpy(dz[0]), torch.from_numpy(dz[1]), _lists(out)

    def trials(
        self,
        at: Place,
        v: Tensor,
        value: Tensor,
        rows: Tensor,
        mu: Sequence[float],
        objective: Tensor,
    ) -> list[list[float]]:
        """In two passes."""
        there, out = _array(v), np.empty((len(mu), 5))
        arithmetic_kernels.trials(
            at.form.arrays, _near(at.proximal, there), there, at.here.arrays.multipliers, _array(value), _array(rows),
            _numbers(mu), objective.numpy(), out,
        )  # fmt: skip
        return _lists(out)

    def accepted(
        self, at: Place, there: Point, step: Move, dual: Sequence[float], mu: Sequence[float]
    ) -> tuple[Tensor, Tensor]:
        """In one pass."""
        v = there.arrays.v
        z = np.empty_like(v), np.empty_like(v)
        dz = _array(step.lower), _array(step.upper)
        arithmetic_kernels.accepted(at.form.arrays, v, at.here.arrays.z, dz, _numbers(dual), _numbers(mu), SPREAD, z)
        return torch.from_numpy(z[0]), torch.from_numpy(z[1])


def _near(proximal: Proximal | None, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight and anchor; empty without."""
    if proximal is None:
        return v[:, :0].copy(), v[:, :0].copy()
    return _array(proximal.weight), _array(proximal.anchor)


def _numbers(numbers: Sequence[float]) -> np.ndarray:
    return np.array(numbers, np.float64)


def _array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.contiguous().numpy()
    return array


def _lists(numbers: np.ndarray) -> list[list[float]]:
    found: list[list[float]] = numbers.tolist()
    return found
