"""Compiled loops of the interior-point method against PyTorch's operations."""

import math
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor

from banded.hessian.lagrangian import Derivatives
from banded.matrix import SymmetricBanded
from banded.matrix.rows import Rows
from banded.optimize.interior.arithmetic import Arithmetic, Place, arithmetic
from banded.optimize.interior.arithmetic_kernels import PIECE
from banded.optimize.interior.barrier import Proximal
from banded.optimize.interior.batched import taken
from banded.optimize.interior.form import Form
from banded.optimize.interior.loops import Loops
from banded.optimize.interior.point import Move, Point

LARGE = 2 * PIECE + 3
SIZES = [(1, 1, 0, 0), (2, 1, 1, 0), (3, 7, 4, 2), (1, 40, 0, 0), (2, LARGE, LARGE, 5)]  # problems, n, m, equalities
WHERE = ["regular", "free", "restoration"]
MU, TAU, SHIFT, PART = [0.3, 1e-5, 7.0], [0.99, 0.999, 0.5], [0.0, 1e-4, 2.0], [0.7, 1.0, 1e-3]
TORCH, LOOPS = Arithmetic(), Loops()


class Case:
    """A random point of problems of some size, with a step from there."""

    def __init__(self, size: tuple[int, int, int, int], where: str) -> None:
        count, n, m, equalities = size
        self.generator = torch.Generator().manual_seed(n)
        self.mu, self.tau, self.shift, self.part = (one[:count] for one in (MU, TAU, SHIFT, PART))
        lower, upper = -1 - self.normal(count, n).abs(), 1 + self.normal(count, n).abs()
        if where == "free":
            lower, upper, equalities = lower - torch.inf, upper + torch.inf, m
        else:
            kind = torch.randint(5, (count, n), generator=self.generator)
            lower[kind == 0] = upper[kind == 1] = lower[kind == 2] = torch.nan
            lower, upper = lower.nan_to_num(-torch.inf), upper.nan_to_num(torch.inf)
            lower[kind == 3] = upper[kind == 3] = 0.25
        self.form = Form.of(lower, upper, m, equalities)
        self.regular = self.form
        if where == "restoration":
            self.form = self.form.elastic(1e3)
        self.v = self.inside()
        weight, anchor = self.normal(count, self.regular.size).abs(), self.inside()[:, : self.regular.size]
        self.proximal = Proximal(weight, anchor) if where == "restoration" else None
        self.multipliers, self.step = self.normal(count, m), self.normal(count, self.form.size)
        self.factor = None if where == "restoration" else self.normal(count).exp()
        self.scale = self.normal(count, m).exp()
        self.columns = torch.randint(n, (m, 3), generator=self.generator)
        self.objective = self.normal(count)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)

    def inside(self) -> Tensor:
        """Within the bounds, some very near to them."""
        v, form = self.normal(*self.form.lower.shape), self.form
        room = 10 ** (-6 * torch.rand(v.shape, generator=self.generator, dtype=torch.float64))
        v = torch.where(form.has_lower, form.lower + room, v)
        return torch.where(form.has_upper, torch.minimum(v, form.upper - 0.1 * room), v)

    def found(self) -> Derivatives:
        count, n = self.form.free.shape
        values, band = self.normal(count, *self.columns.shape), self.normal(count, min(n, 3), n)
        rows, gradient = self.normal(count, self.form.m), self.normal(count, n)
        value = self.objective * (self.factor is not None)
        return Derivatives(value, rows, gradient, Rows(self.columns, values, n), SymmetricBanded(band).cleaned())

    def looked(self, by: Arithmetic, found: Derivatives) -> Point:
        return by.looked(self.form, self.factor, self.scale, self.v, self.multipliers, copied(found))

    def place(self) -> Place:
        here = self.looked(TORCH, self.found())
        z = [self.normal(*self.v.shape).exp() * has for has in (self.form.has_lower, self.form.has_upper)]
        parts = {field.name: getattr(here, field.name) for field in fields(here)}
        return Place(self.form, self.proximal, Point(**{**parts, "lower": z[0], "upper": z[1]}))


def copied(found: Derivatives) -> Derivatives:
    """With a Jacobian of its own, which may be overwritten."""
    return found._replace(J=found.J.with_values(found.J.values.clone()))


def same(one: Any, other: Any) -> None:
    torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12, equal_nan=True)


@pytest.fixture(params=SIZES, ids=str)
def size(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=WHERE)
def case(size: tuple[int, int, int, int], request: pytest.FixtureRequest) -> Case:
    return Case(size, request.param)


def test_a_cpu_has_the_loops() -> None:
    assert type(arithmetic(torch.zeros(1))) is Loops
    assert type(arithmetic(torch.zeros(1, device="meta"))) is Arithmetic


def test_points(case: Case) -> None:
    found = case.found()
    one, other = (case.looked(by, found) for by in (TORCH, LOOPS))
    for name in ("v", "multipliers", "lower", "upper", "value", "rows", "slope", "gradient", "finite"):
        same(getattr(one, name), getattr(other, name))
    same(one.J.values, other.J.values)
    J = case.scale[..., None] * found.J.to_dense() * case.form.free[:, None]
    n = case.form.n
    same(one.J.to_dense(), J)
    same(one.gradient[:, :n], torch.where(case.form.free, found.gradient, 0))
    same(one.slope[:, :n], one.gradient[:, :n] - (case.multipliers[:, None] @ J)[:, 0])
    same(
        one.gradient - one.slope,
        torch.cat([one.J.transposed_times(case.multipliers), case.form.transposed(case.multipliers)], 1),
    )


@pytest.mark.parametrize("where", ["gradient", "J", "H", "value"])
def test_derivatives_that_are_not_finite(where: str) -> None:
    case = Case((3, 7, 4, 2), "regular")
    found = case.found()
    case.form.free[1] = True
    part = {"gradient": found.gradient, "J": found.J.values, "H": found.H.band, "value": found.value[:, None]}[where]
    part[1].view(-1)[-1 if where != "H" else 0] = torch.nan
    for by in (TORCH, LOOPS):
        assert case.looked(by, found).finite.tolist() == [True, False, True]


def test_derivatives_by_what_is_fixed_are_none_even_where_they_are_not_finite() -> None:
    case = Case((3, 7, 4, 2), "regular")
    case.form.free[0, case.columns[2, 1]] = False
    found = case.found()
    found.gradient[0, case.columns[2, 1]] = found.J.values[0, 2, 1] = torch.nan
    for by in (TORCH, LOOPS):
        here = case.looked(by, found)
        assert bool(here.finite.all())
        assert float(here.gradient[0, case.columns[2, 1]]) == float(here.slope[0, case.columns[2, 1]]) == 0


def test_measures(case: Case) -> None:
    place = case.place()
    same(LOOPS.measures(place, case.mu, case.objective), TORCH.measures(place, case.mu, case.objective))


def test_systems(case: Case) -> None:
    place = case.place()
    for one, other in zip(
        LOOPS.system(place, case.mu, case.shift), TORCH.system(place, case.mu, case.shift), strict=True
    ):
        same(one, other)


@pytest.mark.parametrize("length", [1e-9, 1.0, 1e6])
def test_steps(case: Case, length: float) -> None:
    place, step = case.place(), length * case.step
    one, other = (by.step(place, case.mu, case.tau, step) for by in (LOOPS, TORCH))
    same(one[:2], other[:2])
    same(one[2], other[2])


def test_trials(case: Case) -> None:
    place, rows = case.place(), case.normal(*case.scale.shape)
    at = place, case.inside(), case.normal(len(rows)), rows, case.mu, case.objective
    same(LOOPS.trials(*at), TORCH.trials(*at))


def test_accepted_multipliers(case: Case) -> None:
    place, there = case.place(), case.place().here
    z = TORCH.step(place, case.mu, case.tau, case.step)[:2]
    step = Move(case.step, case.multipliers, 1e3 * z[0], 1e12 * z[1])  # some too far from μ / distance
    arguments = place, there, step, case.part, case.mu
    same(LOOPS.accepted(*arguments), TORCH.accepted(*arguments))


@pytest.mark.parametrize("distance", [0.0, -1.0, math.inf, math.nan, 1e-300, 1e300])
def test_barriers_of_any_distance(distance: float) -> None:
    n = 5
    form = Form.of(torch.zeros(2, n).double(), torch.full((2, n), torch.inf).double(), 0, 0)
    v = torch.full((2, n), 1e-200).double()
    v[1, 3] = distance
    value, rows, J = (
        torch.ones(2).double(),
        torch.zeros(2, 0).double(),
        Rows(torch.zeros(0, 1).long(), v[:, :0, None], n),
    )
    found = Derivatives(value, rows, v, J, SymmetricBanded(torch.zeros(2, 1, n).double()))
    place = Place(form, None, TORCH.looked(form, None, rows, v, rows, found))
    arguments = place, v, value, rows, MU[:2], value
    same(LOOPS.trials(*arguments), TORCH.trials(*arguments))


@pytest.mark.parametrize("entry", [0, 3, 6])
def test_numbers_that_are_none_stay_so(entry: int) -> None:
    case = Case((2, 7, 4, 2), "regular")
    place = case.place()
    place.here.gradient[1, entry] = place.here.rows[0, entry // 2] = case.step[1, entry] = torch.nan
    one, other = (by.measures(place, case.mu, case.objective) for by in (LOOPS, TORCH))
    same(one, other)
    assert math.isnan(one[1][2])
    assert math.isnan(one[0][0])
    one, other = (by.step(place, case.mu, case.tau, case.step)[2] for by in (LOOPS, TORCH))
    for numbers in (one, other):
        assert all(math.isnan(numbers[1][number]) for number in (0, 3, 4))


def test_parts_of_a_batch_are_computed_as_among_all(case: Case) -> None:
    place, rows = case.place(), torch.tensor([len(case.v) - 1, 0])
    part = Place(taken(place.form, rows), taken(place.proximal, rows), place.here.part(rows))
    chosen = [[numbers[row] for row in rows.tolist()] for numbers in (case.mu, case.tau)]
    every = LOOPS.step(place, case.mu, case.tau, case.step)
    some = LOOPS.step(part, chosen[0], chosen[1], case.step[rows])
    assert torch.equal(some[0], every[0][rows])
    assert torch.equal(some[1], every[1][rows])
    assert some[2] == [every[2][row] for row in rows.tolist()]
