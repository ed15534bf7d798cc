"""Steps within a radius, against the eigenvalues of dense matrices."""

import signal
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import banded
import oracles
from banded import Status, TrustRegion
from banded.optimize.dialogue import OfPlan
from banded.optimize.questions import Asking, Ray
from banded.optimize.workspace import Workspace
from banded.problems import PROBLEMS
from oracles import rosenbrock, wells

SEEDS = range(4)


def workspace_of(H: np.ndarray, g: np.ndarray) -> Workspace:
    """At 0, of the function that is its own model."""
    A, b = torch.from_numpy(H), torch.from_numpy(g)
    x = torch.zeros(len(g), dtype=torch.float64)
    plan = banded.plan(lambda x: 0.5 * x @ (A @ x) + b @ x, x)
    return Workspace.at(OfPlan(plan), x[None])


def answered(workspace: Workspace, asking: Asking[Ray | None]) -> Ray:
    """What an algorithm for one problem finds."""
    try:
        question = next(asking)
        while True:
            question = asking.send(workspace.answer(question.kind, None, (question.number,))[0])
    except StopIteration as end:
        ray: Ray = end.value  # there is one
        return ray


def step_of(H: np.ndarray, g: np.ndarray, radius: float) -> np.ndarray:
    """The step, and that it is what the answer says it is."""
    workspace = workspace_of(H, g)
    ray = answered(workspace, TrustRegion(radius).direct())
    p: np.ndarray = workspace.p[0].numpy()
    size = float(np.abs(H).sum() * np.linalg.norm(p) ** 2 + np.linalg.norm(g) * np.linalg.norm(p))
    assert ray.length == pytest.approx(np.linalg.norm(p), rel=1e-12)
    assert ray.slope == pytest.approx(g @ p, abs=1e-12 * size)
    assert ray.curvature == pytest.approx(p @ H @ p, rel=1e-6, abs=1e-12 * size)
    assert ray.promise == pytest.approx(-oracles.model(H, g, p), rel=1e-6, abs=1e-12 * size)
    return p


def assert_on_the_edge(H: np.ndarray, g: np.ndarray, radius: float, p: np.ndarray) -> None:
    """It is as long as it may be, and the best of its length."""
    length = float(np.linalg.norm(p))
    assert 0.9 * radius <= length <= 1.1 * radius
    best = oracles.model(H, g, oracles.step_within(H, g, length))
    assert best <= 0
    assert oracles.model(H, g, p) <= 0.98 * best + 1e-13 * float(np.abs(H).max()) * length**2


def definite(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    return oracles.positive_definite(n, k, seed), np.random.default_rng(seed).standard_normal(n)


def indefinite(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    H = oracles.symmetric(n, k, seed)
    H -= max(0.0, float(np.linalg.eigvalsh(H)[0]) + 0.1) * np.eye(n)
    return H, np.random.default_rng(seed).standard_normal(n)


def test_the_oracle_beats_every_other_point() -> None:
    """The twin is tried itself, against points drawn at random and moved to the edge."""
    rng = np.random.default_rng(0)
    for seed in SEEDS:
        for make in (definite, indefinite):
            H, g = make(5, 2, seed)
            for radius in (0.01, 1.0, 30.0):
                p = oracles.step_within(H, g, radius)
                assert np.linalg.norm(p) <= radius * (1 + 1e-12)
                others = rng.standard_normal((2000, 5))
                others *= radius * rng.random((2000, 1)) ** 0.2 / np.linalg.norm(others, axis=1)[:, None]
                assert oracles.model(H, g, p) <= min(oracles.model(H, g, q) for q in others)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("n", "k"), [(1, 0), (2, 1), (12, 0), (20, 3)])
def test_inside_the_radius_it_is_newtons_step(n: int, k: int, seed: int) -> None:
    H, g = definite(n, k, seed)
    newton = np.linalg.solve(H, -g)
    for factor in (1.001, 2.0, 1e6):
        p = step_of(H, g, factor * float(np.linalg.norm(newton)))
        np.testing.assert_allclose(p, newton, rtol=1e-9, atol=1e-12 * float(np.abs(newton).max()))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("make", [definite, indefinite])
@pytest.mark.parametrize(("n", "k"), [(1, 0), (2, 1), (12, 0), (20, 3)])
def test_on_the_edge_it_is_the_best_of_its_length(n: int, k: int, make: Any, seed: int) -> None:
    H, g = make(n, k, seed)
    longest = float(np.linalg.norm(np.linalg.solve(H, -g))) if make is definite else 1e3
    for radius in (1e-8, 1e-3, 0.1 * longest, 0.8 * longest):
        p = step_of(H, g, radius)
        assert_on_the_edge(H, g, radius, p)
        if oracles.step_within(H, g, radius) @ g < 0 and make is definite:  # unique, and not a hard case
            exact = oracles.step_within(H, g, float(np.linalg.norm(p)))
            np.testing.assert_allclose(p, exact, atol=1e-7 * float(np.linalg.norm(p)))


@pytest.mark.parametrize("radius", [1e-3, 1.0, 50.0, 1e4])
@pytest.mark.parametrize("seed", SEEDS)
def test_hard_case_goes_on_along_the_lowest_eigenvector(seed: int, radius: float) -> None:
    """The gradient is orthogonal to it: then no λ makes (H + λI)⁻¹ g long enough."""
    H, g = indefinite(20, 3, seed)
    v = np.linalg.eigh(H)[1][:, 0]
    g = g - v * (v @ g)
    p = step_of(H, g, radius)
    assert_on_the_edge(H, g, radius, p)
    bare = -np.linalg.pinv(H - np.linalg.eigvalsh(H)[0] * np.eye(20), rcond=1e-10) @ g
    if np.linalg.norm(bare) < 0.5 * radius:  # hard in earnest
        assert abs(p @ v) > 0.5 * radius


@pytest.mark.parametrize("radius", [0.5, 100.0])
@pytest.mark.parametrize("pulls", [(0.0, 0.0, 0.0), (0.0, 1.0, 0.0), (1e-12, 1.0, 1.0)])
def test_hard_case_of_a_diagonal_matrix(pulls: tuple[float, ...], radius: float) -> None:
    """Closed form: λ = 2, p = (√(Δ² - Σ p_i²), -g_i / (h_i + 2)), where that is within Δ."""
    H, g = np.diag([-2.0, 1.0, 3.0]), np.array(pulls)
    p = step_of(H, g, radius)
    assert_on_the_edge(H, g, radius, p)
    others = -g[1:] / (np.array([1.0, 3.0]) + 2)
    if np.linalg.norm(others) < 0.9 * radius:
        np.testing.assert_allclose(p[1:], others, atol=0.02 * radius)
        assert abs(p[0]) == pytest.approx(np.sqrt(radius**2 - others @ others), rel=0.02)


@pytest.mark.parametrize("radius", [1e-6, 1.0, 1e6])
def test_singular_matrices(radius: float) -> None:
    """Free ends: H has the null vector 1, along which g may pull, or not."""
    n = 12
    free = np.diag([1.0, *[2.0] * (n - 2), 1.0]) - np.eye(n, k=1) - np.eye(n, k=-1)
    ramp = np.linspace(-1, 1, n)
    for g in (ramp, ramp + 1, np.ones(n)):
        p = step_of(free, g, radius)
        length = float(np.linalg.norm(p))
        assert length <= 1.1 * radius
        best = oracles.model(free, g, oracles.step_within(free, g, radius))
        # where g does not pull along it, p may be as short as it likes
        assert oracles.model(free, g, p) <= 0.8 * best


def bordered(n: int, seed: int) -> np.ndarray:
    H = oracles.symmetric(n, 2, seed)
    H[-1], H[:, -1] = 0.5, 0.5
    return H


@pytest.mark.parametrize("shift", [0.0, 8.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_borders_loops_and_shuffled_unknowns(seed: int, shift: float) -> None:
    n = 16
    order = np.random.default_rng(seed).permutation(n)
    loop = oracles.symmetric(n, 1, seed)
    loop[0, -1] = loop[-1, 0] = 1.0
    g = np.random.default_rng(seed + 100).standard_normal(n)
    for H in (bordered(n, seed), loop, bordered(n, seed)[np.ix_(order, order)], loop[np.ix_(order, order)]):
        H = H + shift * np.eye(n)
        for radius in (0.05, 0.5, 200.0):
            p = step_of(H, g, radius)
            newton = oracles.step_within(H, g, 1e300) if np.linalg.eigvalsh(H)[0] > 0 else None
            if newton is not None and np.linalg.norm(newton) <= radius:
                np.testing.assert_allclose(p, newton, atol=1e-9 * float(np.linalg.norm(newton)))
            else:
                assert_on_the_edge(H, g, radius, p)


@pytest.mark.parametrize("scale", [1e-150, 1e-12, 1e12, 1e150])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_step_does_not_depend_on_the_units_of_f(seed: int, scale: float) -> None:
    for H, g in (definite(15, 2, seed), indefinite(15, 2, seed)):
        for radius in (0.1, 10.0):
            np.testing.assert_allclose(step_of(scale * H, scale * g, radius), step_of(H, g, radius), rtol=1e-6)


def test_the_first_radius_is_that_of_newtons_step_or_of_the_unknowns() -> None:
    H, g = definite(10, 1, 0)
    workspace = workspace_of(H, 0.01 * g)
    answered(workspace, TrustRegion().direct())
    np.testing.assert_allclose(workspace.p[0], np.linalg.solve(H, -0.01 * g), rtol=1e-9)
    workspace = workspace_of(H, 1e6 * g)
    ray = answered(workspace, TrustRegion().direct())
    assert 0.9 <= ray.length <= 1.1  # at x = 0: max(1, ‖x‖∞) = 1


@pytest.mark.parametrize("radius", [0.0, -1.0, float("nan")])
def test_a_radius_that_is_not_positive(radius: float) -> None:
    with pytest.raises(ValueError, match="radius: expected"):
        TrustRegion(radius)


def test_a_radius_that_is_no_number() -> None:
    for radius in ("1", [1.0], 1j):
        with pytest.raises(TypeError, match="radius"):
            TrustRegion(radius)  # type: ignore[arg-type]


def points_of(f: Any, start: Tensor, **options: Any) -> tuple[banded.Result, list[Tensor]]:
    points: list[Tensor] = []
    result = banded.minimize(f, start, callback=lambda x, record: points.append(x), **options)
    return result, points


@pytest.mark.parametrize("radius", [1e-3, 0.1, 1.0, 1e6])
def test_the_first_step_is_no_longer_than_the_radius_that_was_given(radius: float) -> None:
    start = torch.zeros(20, dtype=torch.float64)
    result, points = points_of(lambda x: oracles.chain(x - 1), start, globalisation=TrustRegion(radius))
    assert result.status is Status.CONVERGED
    np.testing.assert_allclose(result.x, 1, atol=1e-7)
    first = float((points[1] - points[0]).norm())
    assert first <= 1.1 * radius
    assert first >= min(0.9 * radius, float(start.numel()) ** 0.5 * 0.999)


def test_every_step_brings_a_share_of_what_the_model_promises() -> None:
    result, points = points_of(rosenbrock, torch.zeros(8, dtype=torch.float64), globalisation="trust region")
    assert result.success
    compared = 0
    for here, there in pairwise(points):
        H, g = torch.func.hessian(rosenbrock)(here).numpy(), torch.func.grad(rosenbrock)(here).numpy()
        promise = -oracles.model(H, g, (there - here).numpy())
        if promise > 1e-12:
            compared += 1
            assert float(rosenbrock(here) - rosenbrock(there)) >= 1e-4 * promise
    assert compared > 5


@pytest.mark.parametrize("n", [2, 10, 100])
def test_rosenbrock_reaches_its_known_minimum(n: int) -> None:
    result = banded.minimize(rosenbrock, torch.zeros(n, dtype=torch.float64), globalisation="trust region")
    assert result.status is Status.CONVERGED
    np.testing.assert_allclose(result.x, 1, rtol=1e-7)
    values = [record.value for record in result.history]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("radius", [None, 1e-4, 1e-2, 1.0, 1e3])
def test_double_wells_are_reached_from_where_h_is_indefinite(radius: float | None) -> None:
    start = torch.full((50,), 0.1, dtype=torch.float64)
    assert np.linalg.eigvalsh(torch.func.hessian(wells)(start).numpy())[-1] < 0
    result = banded.minimize(wells, start, globalisation=TrustRegion(radius))
    assert result.status is Status.CONVERGED
    assert result.history[0].shift > 0
    assert result.value == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(result.x, 1, rtol=1e-7)


def test_from_the_top_between_the_wells() -> None:
    result = banded.minimize(wells, torch.zeros(20, dtype=torch.float64), globalisation="trust region")
    assert result.status is Status.CONVERGED
    assert float(torch.func.grad(wells)(result.x).abs().max()) <= 1e-8
    assert float(torch.linalg.eigvalsh(torch.func.hessian(wells)(result.x))[0]) > 0


def test_an_infinite_radius_is_refused_or_lets_newton_go() -> None:
    start = torch.full((5,), 0.1, dtype=torch.float64)
    try:
        search = TrustRegion(float("inf"))
    except ValueError:
        return
    result = banded.minimize(wells, start, globalisation=search)
    assert result.success
    np.testing.assert_allclose(result.x.abs(), 1, rtol=1e-7)


@pytest.mark.parametrize(
    ("f", "start", "status"),
    [
        (lambda x: (x**3).sum(), -0.5, Status.UNBOUNDED),
        (lambda x: -x.exp().sum() + (x[1:] * x[:-1]).sin().sum(), -0.5, Status.UNBOUNDED),
        (lambda x: torch.where(x < 0.5, -torch.inf, x.square()).sum(), 1.0, Status.UNBOUNDED),
        (lambda x: (100 * x - x.log()).sum(), 1.0, Status.CONVERGED),
        (lambda x: (x.exp() - x).sum(), -50.0, Status.CONVERGED),
    ],
)
def test_edges_of_domains_and_functions_without_a_bound(f: Any, start: float, status: Status) -> None:
    result = banded.minimize(f, torch.full((4,), start, dtype=torch.float64), globalisation="trust region")
    assert result.status is status
    assert np.isfinite(result.value)


@pytest.mark.parametrize(
    ("name", "n", "least"),
    [
        ("tridia", 100, 0),
        ("dixon3dq", 100, 0),
        ("bdqrtic", 100, 378.769191809),
        ("genrose", 100, 1),
        ("engval1", 100, 109.088136143),
        ("liarwhd", 100, 0),
        ("broydn3dls", 100, 0),
        ("curly10", 100, -10031.6290241),
        ("dixmaana1", 90, 1),
        ("dixmaanf", 90, 1),
        ("dixmaanm1", 90, 1),
        ("chain", 12, -0.5 * 5 * 8 / 13),
    ],
)
def test_problems_with_known_minima(name: str, n: int, least: float) -> None:
    result = PROBLEMS[name](n).solve(globalisation="trust region")
    assert result.success
    assert result.value == pytest.approx(least, rel=1e-8, abs=1e-10)


def test_float32() -> None:
    result = banded.minimize(wells, torch.full((30,), 0.1), globalisation=TrustRegion(0.3), tolerance=1e-4)
    assert result.success
    assert result.x.dtype == torch.float32
    np.testing.assert_allclose(result.x, 1, rtol=1e-4)


def nan_below_a_half(x: Tensor) -> Tensor:
    return x.square().sum() + 0 * torch.where(x > 0.5, x - 0.5, 0 * x).sqrt().sum()


@pytest.mark.parametrize(
    "f",
    [
        nan_below_a_half,
        lambda x: x.abs().sum() + 0.01 * x.square().sum(),
        lambda x: (x - 0.3).abs().sum() + (x[1:] - x[:-1]).square().sum(),
        lambda x: 5 * x.relu().sum() + (x + 1).square().sum() - 4 * x.sum(),
    ],
)
def test_a_radius_that_shrinks_to_nothing_is_no_minimum(f: Any) -> None:
    """Steps are short there because of the radius, and not because the gradient is small."""
    result = banded.minimize(f, torch.ones(3, dtype=torch.float64), globalisation="trust region")
    assert result.status in (Status.NON_FINITE, Status.LINE_SEARCH) or result.gradient_norm <= 1e-8


def alarm(number: int, frame: Any) -> None:
    raise TimeoutError("the minimisation goes on for ever")


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs alarms")
def test_a_curvature_that_overflows_on_the_way_is_no_endless_loop() -> None:
    """Towards 0, where log goes to -inf, the shift grows with 1 / x² until it is infinite."""
    before = signal.signal(signal.SIGALRM, alarm)
    signal.alarm(3)
    try:
        result = banded.minimize(lambda x: x.log().sum(), torch.ones(2).double(), globalisation="trust region")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert result.status in (Status.UNBOUNDED, Status.NON_FINITE)


def test_one_object_serves_many_minimisations() -> None:
    """What it learns of one problem is not carried into the next."""
    search, start = TrustRegion(0.5), torch.zeros(10, dtype=torch.float64)
    first = banded.minimize(rosenbrock, start, globalisation=search)
    banded.minimize(wells, start + 0.1, globalisation=search)
    again = banded.minimize(rosenbrock, start, globalisation=search)
    assert [record.value for record in again.history] == [record.value for record in first.history]
