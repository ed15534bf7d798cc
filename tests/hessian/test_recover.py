import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import oracles
from banded.hessian.probes import comb
from banded.hessian.recover import RECOVERIES

CPU = torch.device("cpu")


@pytest.mark.parametrize(("n", "spacing"), [(1, 1), (7, 3), (7, 7), (3, 5), (12, 1)])
def test_combs_have_teeth_at_their_spacing(n: int, spacing: int) -> None:
    probes = comb(n, spacing, torch.zeros((), dtype=torch.float64))
    assert probes.shape == (min(spacing, n), n)
    for c, row in enumerate(probes):
        assert row.nonzero().flatten().tolist() == list(range(c, n, spacing))


@pytest.mark.parametrize("method", RECOVERIES)
@given(st.data())
def test_recovery_inverts_the_probing(method: str, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 40))
    k = data.draw(st.integers(0, n - 1))
    A = oracles.symmetric(n, k, data.draw(st.integers(0, 2**31)))
    recover = RECOVERIES[method](n, k, CPU)
    H = recover(oracles.comb_products(A, recover.spacing))
    np.testing.assert_allclose(H.to_dense(), A, rtol=0, atol=1e-13 * n)
    outside = torch.arange(n) + torch.arange(k + 1)[:, None] >= n
    assert not H.band[outside].any()


def test_numbers_of_products() -> None:
    for n, k, direct, symmetric in [(100, 0, 1, 1), (100, 4, 9, 5), (7, 6, 7, 7), (7, 4, 7, 5)]:
        for method, count in (("direct", direct), ("symmetric", symmetric)):
            spacing = RECOVERIES[method](n, k, CPU).spacing
            assert len(comb(n, spacing, torch.zeros(()))) == count


def test_direct_recovery_is_exact() -> None:
    A = oracles.symmetric(50, 3) * np.logspace(0, 12, 50)[:, None] * np.logspace(0, 12, 50)
    recover = RECOVERIES["direct"](50, 3, CPU)
    np.testing.assert_array_equal(recover(oracles.comb_products(A, 7)).to_dense().tril(), np.tril(A))


def test_bands_come_in_the_order_of_lapack() -> None:
    """Column-major, so that the factorisation takes them without a copy."""
    A = oracles.symmetric(30, 3)
    for method in RECOVERIES:
        recover = RECOVERIES[method](30, 3, CPU)
        assert recover(oracles.comb_products(A, recover.spacing)).band.mT.is_contiguous()
