"""Probes, written down by their definitions."""

import numpy as np
import pytest
import torch

from banded.hessian.coloring import comb
from banded.hessian.probes import exponentials, gaussian, gaussian_mixture, indicators

DTYPES = [torch.float32, torch.float64]


@pytest.mark.parametrize(("n", "spacing"), [(1, 1), (7, 3), (7, 7), (3, 5), (12, 1)])
def test_combs_have_teeth_at_their_spacing(n: int, spacing: int) -> None:
    coloring = comb(n, spacing, torch.device("cpu"))
    probes = indicators(coloring.colors, coloring.count, torch.zeros((), dtype=torch.float64))
    assert probes.shape == (min(spacing, n), n)
    assert probes.dtype == torch.float64
    for c, row in enumerate(probes):
        assert row.nonzero().flatten().tolist() == list(range(c, n, spacing))
        assert set(row.tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("dtype", DTYPES)
def test_indicators_are_one_where_the_color_is(dtype: torch.dtype) -> None:
    colors = [2, 0, 0, 3, 2]
    probes = indicators(torch.tensor(colors), 5, torch.zeros((), dtype=dtype))
    assert probes.dtype == dtype
    assert probes.tolist() == [[float(color == c) for color in colors] for c in range(5)]


@pytest.mark.parametrize("count", range(1, 10))
def test_exponentials_are_a_fourier_transform(count: int) -> None:
    rows = exponentials(count, torch.zeros((), dtype=torch.float64)).numpy()
    values = np.random.default_rng(count).standard_normal(count)
    expected = []
    for f, amplitude in enumerate(np.fft.rfft(values)):
        expected += [amplitude.real] if f == 0 or 2 * f == count else [amplitude.real, amplitude.imag]
    assert rows.shape == (count, count)
    np.testing.assert_allclose(rows @ values, expected, rtol=0, atol=1e-14 * count)


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_random_mixtures_have_full_rank_and_stay_the_same(count: int) -> None:
    mixture = gaussian_mixture(count + 4, count, torch.zeros((), dtype=torch.float64))
    assert mixture.shape == (count + 4, count)
    assert np.linalg.matrix_rank(mixture.numpy()) == count
    assert torch.equal(mixture, gaussian_mixture(count + 4, count, mixture))


def test_random_numbers_are_the_same_in_every_precision() -> None:
    single, double = (gaussian(50, torch.zeros((), dtype=d), torch.Generator().manual_seed(7)) for d in DTYPES)
    assert (single.dtype, double.dtype) == tuple(DTYPES)
    assert torch.equal(single, double.float())
    following = torch.Generator().manual_seed(7)
    assert torch.equal(gaussian(50, double, following), double)
    assert not torch.equal(gaussian(50, double, following), double)
