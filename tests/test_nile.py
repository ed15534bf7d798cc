"""The example nile.py: by dense covariances, which know nothing of precisions, and by statsmodels where it is."""

import importlib
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

BOOK = [15099, 1469.1]  # σε², ση²: Durbin & Koopman 2012, chapter 2
GAPS = {
    "whole": [],
    "inside": [*range(8, 15), 20],
    "at both ends": [0, 1, 2, 27, 28, 29],
}


@pytest.fixture(scope="module")
def nile(example: Callable[[str], ModuleType]) -> ModuleType:
    return example("nile")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """A hundred unknowns keep one thread busy; more would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def flow() -> Tensor:
    """The real data."""
    pytest.importorskip("statsmodels", reason="needs statsmodels, for the data too: pip install statsmodels")
    data = importlib.import_module("statsmodels.datasets.nile").load_pandas().data
    return torch.tensor(data["volume"].to_numpy(dtype=float))


def series(d: int, missing: list[int]) -> Tensor:
    """Thirty made years, with gaps."""
    rng = np.random.default_rng(d)
    level = 1000 + 40 * rng.standard_normal(30).cumsum()
    level = level if d == 1 else level.cumsum() / 30
    flow = torch.from_numpy(level + 120 * rng.standard_normal(30))
    flow[missing] = math.nan
    return flow


class Oracle(NamedTuple):
    level: np.ndarray
    covariance: np.ndarray
    likelihood: float


def oracle(flow: Tensor, d: int, noise: float, drift: float) -> Oracle:
    """Best linear unbiased prediction with a diffuse start, from covariances and generalised least squares.

    μ = X β + z: the level (and slope) β of the first year are diffuse, z has the covariance K. With V that of the data
    about X β, S = Xᵀ V⁻¹ X and r the residuals, the limit of log p(y) + d/2 log κ is
    -½ (m log 2π + log det V + log det S + rᵀ V⁻¹ r).
    """
    n, seen = len(flow), flow.isfinite().numpy()
    lag = np.subtract.outer(np.arange(n), np.arange(n))  # a shock after year s shows in year t as (t - s)^(d - 1)
    effect = np.where(lag > 0, 1.0 if d == 1 else lag - 1.0, 0)
    K = drift * effect @ effect.T
    X = np.arange(n)[:, None] ** np.arange(d)
    y, V, C, F = flow.numpy()[seen], K[np.ix_(seen, seen)] + noise * np.eye(seen.sum()), K[:, seen], X[seen]
    weights = np.linalg.solve(V, C.T).T
    S = F.T @ np.linalg.solve(V, F)
    beta = np.linalg.solve(S, F.T @ np.linalg.solve(V, y))
    r, G = y - F @ beta, X - weights @ F
    covariance = K - weights @ C.T + G @ np.linalg.solve(S, G.T)
    terms = len(y) * np.log(2 * np.pi) + np.linalg.slogdet(V)[1] + np.linalg.slogdet(S)[1] + r @ np.linalg.solve(V, r)
    return Oracle(X @ beta + weights @ r, covariance, -terms / 2)


@pytest.mark.parametrize("missing", GAPS.values(), ids=GAPS.keys())
@pytest.mark.parametrize(("d", "noise", "drift"), [(1, 15099, 1469.1), (1, 900, 2e4), (2, 15000, 30.0), (2, 2e4, 1.5)])
def test_levels_variances_and_likelihood_by_dense_covariances(
    nile: ModuleType, d: int, noise: float, drift: float, missing: list[int]
) -> None:
    model = nile.Model(series(d, missing), d)
    variances = torch.tensor([noise, drift], dtype=torch.float64)
    level, H = nile.smooth(model, variances)
    expected = oracle(model.flow, d, noise, drift)
    assert H.bandwidth == d
    np.testing.assert_allclose(level, expected.level, rtol=1e-9)
    band = H.inverse_band()
    for k in range(d + 1):
        t = torch.arange(30 - k)
        np.testing.assert_allclose(band[t + k, t], expected.covariance.diagonal(-k), rtol=1e-7)
    assert float(nile.log_likelihood(model)(variances.log())) == pytest.approx(expected.likelihood, rel=1e-11)


@pytest.mark.parametrize("d", [1, 2])
def test_derivatives_of_the_likelihood(nile: ModuleType, d: int) -> None:
    likelihood = nile.log_likelihood(nile.Model(series(d, GAPS["inside"]), d))
    where = torch.tensor([9.0, 5.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(likelihood, where)
    assert torch.autograd.gradgradcheck(likelihood, where)


def test_the_fit_is_the_largest_likelihood(nile: ModuleType) -> None:
    model = nile.Model(series(1, []), 1)
    noise, drift = nile.fit(model).tolist()
    best = oracle(model.flow, 1, noise, drift).likelihood
    around = [oracle(model.flow, 1, noise * a, drift * b).likelihood for a in (0.99, 1, 1.01) for b in (0.98, 1, 1.02)]
    assert max(around) == pytest.approx(best, rel=1e-14)
    assert min(around) < best - 1e-5


def test_a_forecast_is_a_missing_year(nile: ModuleType) -> None:
    """A local level stays where it is, and a year more adds ση² to its variance."""
    flow = torch.cat([series(1, []), torch.full((5,), math.nan)])
    level, H = nile.smooth(nile.Model(flow, 1), torch.tensor(BOOK, dtype=torch.float64))
    np.testing.assert_allclose(level[30:], level[29].expand(5), rtol=1e-12)
    np.testing.assert_allclose(H.inverse_band().diagonal()[29:].diff(), BOOK[1], rtol=1e-9)


@pytest.mark.parametrize("variances", [BOOK, [2e4, 10.0]])
@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("missing", [[], [*range(20, 40), *range(60, 80)], [0, 1, 98, 99]], ids=GAPS.keys())
def test_statsmodels_agrees(nile: ModuleType, flow: Tensor, d: int, variances: list[float], missing: list[int]) -> None:
    flow = flow.clone()
    flow[missing] = math.nan
    apart = nile.compare(nile.Model(flow, d), torch.tensor(variances, dtype=torch.float64))
    assert len(apart) == 1 + 2 * d
    assert max(apart.values()) < 1e-10


def test_the_fit_is_that_of_the_book(nile: ModuleType, flow: Tensor) -> None:
    """15099 and 1469.1 there; the second is 1469.18 where the gradient vanishes."""
    noise, drift = nile.fit(nile.Model(flow, 1)).tolist()
    assert round(noise) == BOOK[0]
    assert drift == pytest.approx(BOOK[1], abs=0.1)


def test_the_command(
    nile: ModuleType, flow: Tensor, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    race = nile.race
    monkeypatch.setattr(nile, "race", lambda n: race(n // 100))
    picture = tmp_path / "nile.png"
    assert nile.main(["--plot", str(picture)]) == 0
    assert "σε² 15098.52, ση² 1469.18" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_disagreement_fails(nile: ModuleType, flow: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nile, "AGREEMENT", 0.0)
    assert not nile.report("not agreed", nile.Model(flow, 1))
    monkeypatch.setattr(nile, "report", lambda name, model: False)
    monkeypatch.setattr(nile, "race", lambda n: (0.0, 0.0))
    assert nile.main([]) == 1


def test_without_statsmodels(
    nile: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("statsmodels", "statsmodels.datasets.nile"):
        monkeypatch.setitem(sys.modules, name, None)
    assert nile.main([]) == 2
    assert "pip install statsmodels" in capsys.readouterr().err
