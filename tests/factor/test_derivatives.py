"""Derivatives of every solve, in every mode, against those of a dense inverse.

The references are jacrev(jacrev) of `inv(A) @ b`: PyTorch's `linalg.solve` loses terms of the derivatives of its
forward mode, in jacrev(jacfwd) too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from references import definite_batch, dense_general, dense_symmetric, general_band, lower_bands, near
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap

import oracles
from banded.factor import LDL, LU, BorderedCholesky, BorderedLDL, Cholesky, cholesky

N = 4
Solve = Callable[[Tensor, Tensor], Tensor]  # of a band and a right-hand side


@dataclass(frozen=True)
class Case:
    solve: Solve
    dense: Callable[[Tensor], Tensor]
    bands: Callable[[int], Tensor]  # that many different ones

    def reference(self, band: Tensor, b: Tensor) -> Tensor:
        inverse: Tensor = torch.linalg.inv(self.dense(band))
        return inverse @ b


def definite(count: int) -> Tensor:
    return lower_bands(definite_batch((count,), N, 2), 2, 0.0)


def indefinite(count: int) -> Tensor:
    """Zeros on the diagonal, so that there are pivots of two."""
    As = np.array([oracles.symmetric(N, 2, seed) for seed in range(count)])
    As[:, range(0, N, 2), range(0, N, 2)] = 0
    As[:, range(N - 1), range(1, N)] += 3
    As[:, range(1, N), range(N - 1)] += 3
    return lower_bands(As, 2, 0.0)


def general(count: int) -> Tensor:
    rng = np.random.default_rng(0)
    return torch.stack([general_band(rng.standard_normal((N, N)) + 3 * np.eye(N, k=1), 1, 2) for _ in range(count)])


CASES = {
    "Cholesky": Case(lambda band, b: Cholesky(band).solve(b), dense_symmetric, definite),
    "LDL": Case(lambda band, b: LDL(band).solve(b), dense_symmetric, indefinite),
    "LU": Case(lambda band, b: LU(band, 1, 2).solve(b), lambda band: dense_general(band, 2), general),
    "LU transposed": Case(
        lambda band, b: LU(band, 1, 2).solve(b, transposed=True), lambda band: dense_general(band, 2).mT, general
    ),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def operands(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.fixture(params=["lapack", "kernels"], autouse=True)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one matrix is factored and solved with, where there is a choice."""
    if request.param == "kernels":
        monkeypatch.setattr(cholesky, "LARGE", 0)


@every_case
@pytest.mark.parametrize("batch", [(), (1,), (2,)])
@pytest.mark.parametrize("columns", [(), (2,)])
def test_first_derivatives(case: Case, batch: tuple[int, ...], columns: tuple[int, ...]) -> None:
    band = case.bands(batch[0] if batch else 1).reshape(*batch, -1, N).requires_grad_()
    b = operands(*batch, N, *columns).requires_grad_()
    assert torch.autograd.gradcheck(case.solve, (band, b), check_forward_ad=True)


@every_case
@pytest.mark.parametrize("columns", [(), (2,)])
def test_second_derivatives(case: Case, columns: tuple[int, ...]) -> None:
    band, b = case.bands(1)[0].requires_grad_(), operands(N, *columns).requires_grad_()
    assert torch.autograd.gradgradcheck(case.solve, (band, b))
    batch = case.bands(2).requires_grad_(), operands(2, N, *columns).requires_grad_()
    assert torch.autograd.gradgradcheck(case.solve, batch)


@every_case
def test_batched_gradients_of_the_old_vmap(case: Case) -> None:
    band, b = case.bands(1)[0].requires_grad_(), operands(N).requires_grad_()
    x = case.solve(band, b)
    found = torch.autograd.grad(x, (band, b), torch.eye(N, dtype=torch.float64), is_grads_batched=True)
    for one, expected in zip(found, jacrev(case.reference, (0, 1))(band.detach(), b.detach()), strict=True):
        near(one, expected.numpy(), 1e-11)


# Each mode, and each pair of modes


@every_case
@pytest.mark.parametrize("columns", [(), (2,), (0,)])
def test_vmap_over_the_band_the_right_hand_side_or_both(case: Case, columns: tuple[int, ...]) -> None:
    bands, bs = case.bands(3), operands(3, N, *columns)
    inverses = torch.linalg.inv(case.dense(bands)).numpy()
    x = vmap(case.solve, (0, None))(bands, bs[0])
    near(x, inverses @ bs[0].numpy(), 1e-11)
    x = vmap(case.solve, (None, 0))(bands[0], bs)
    near(x, np.stack([inverses[0] @ b.numpy() for b in bs]), 1e-11)
    x = vmap(case.solve, (-1, -1), out_dims=-1)(bands.movedim(0, -1), bs.movedim(0, -1))
    near(x, np.stack([A @ b.numpy() for A, b in zip(inverses, bs, strict=True)], -1), 1e-11)


@every_case
def test_vmap_within_vmap_and_over_a_batch(case: Case) -> None:
    bands, bs = case.bands(6).reshape(2, 3, -1, N), operands(2, 3, N)
    inverses = torch.linalg.inv(case.dense(bands)).numpy()
    expected = (inverses @ bs.numpy()[..., None])[..., 0]
    near(vmap(vmap(case.solve))(bands, bs), expected, 1e-11)
    near(vmap(case.solve)(bands, bs), expected, 1e-11)
    near(vmap(case.solve, (1, 1), out_dims=1)(bands, bs), expected, 1e-11)
    crossed = vmap(vmap(case.solve, (None, 0)), (0, None))(bands[:, 0], bs[0])
    near(crossed, np.einsum("aij,bj->abi", inverses[:, 0], bs[0].numpy()), 1e-11)


@every_case
def test_first_derivatives_in_every_mode(case: Case) -> None:
    bands, bs = case.bands(3), operands(3, N)
    expected = vmap(jacrev(case.reference, (0, 1)))(bands, bs)
    for of in (jacrev, jacfwd):
        for found, wanted in zip(vmap(of(case.solve, (0, 1)))(bands, bs), expected, strict=True):
            near(found, wanted.numpy(), 1e-11)
        for argument in (0, 1):  # the other is a constant
            near(of(case.solve, argument)(bands[0], bs[0]), expected[argument][0].numpy(), 1e-11)
        near(vmap(of(case.solve), (0, None))(bands, bs[0])[0], expected[0][0].numpy(), 1e-11)
        near(vmap(of(case.solve), (None, 0))(bands[0], bs)[0], expected[0][0].numpy(), 1e-11)
    gradients = vmap(grad(lambda band, b: case.solve(band, b).sum(), (0, 1)))(bands, bs)
    for found, wanted in zip(gradients, expected, strict=True):
        near(found, wanted.sum(1).numpy(), 1e-11)


@every_case
@pytest.mark.parametrize("columns", [(), (2,)])
def test_second_derivatives_in_every_pair_of_modes(case: Case, columns: tuple[int, ...]) -> None:
    bands, bs = case.bands(2), operands(2, N, *columns)

    def f(both: dict[str, Tensor]) -> Tensor:
        return case.solve(both["band"], both["b"]).sin().sum()

    def reference(both: dict[str, Tensor]) -> Tensor:
        return case.reference(both["band"], both["b"]).sin().sum()

    both = {"band": bands, "b": bs}
    one = {"band": bands[0], "b": bs[0]}
    expected = vmap(jacrev(jacrev(reference)))(both)
    for second in (jacrev(jacrev(f)), hessian(f), jacfwd(jacrev(f)), jacrev(jacfwd(f))):
        batch, single = vmap(second)(both), second(one)
        for row in both:
            for column in both:
                near(batch[row][column], expected[row][column].numpy(), 1e-11)
                near(single[row][column], expected[row][column][0].numpy(), 1e-11)


@every_case
def test_third_derivatives(case: Case) -> None:
    band, b = case.bands(1)[0], operands(N)

    def f(band: Tensor) -> Tensor:
        return case.solve(band, b).sum()

    expected = jacrev(jacrev(jacrev(case.reference)))(band, b).sum(0).numpy()
    for third in (jacrev(jacrev(jacrev(f))), jacfwd(jacrev(grad(f)))):
        near(third(band), expected, 1e-10)


@every_case
def test_forward_mode_within_itself_is_refused(case: Case) -> None:
    band, b = case.bands(1)[0], operands(N)
    nested: list[Callable[[Tensor], object]] = [
        jacfwd(jacfwd(lambda z: case.solve(z, b))),
        jacfwd(lambda y: jvp(lambda z: case.solve(z, b), (y,), (band,))[1]),
        jacfwd(jacrev(jacfwd(lambda z: case.solve(z, b)))),
    ]
    for f in nested:
        with pytest.raises(NotImplementedError, match=r"at most one forward-mode .*torch.func.hessian"):
            f(band)
    with pytest.raises(NotImplementedError, match="at most one forward-mode"):
        jacfwd(jacfwd(lambda b: case.solve(band, b)))(b)


# What was factored stays so


@every_case
@pytest.mark.parametrize(("of_band", "of_b"), [(True, False), (False, True), (True, True)])
def test_writing_into_the_band_or_b_after_factoring(case: Case, of_band: bool, of_b: bool) -> None:
    band, b = case.bands(1)[0], operands(N)
    expected = jacrev(case.reference, (0, 1))(band, b)
    leaves = [band.clone().requires_grad_(of_band), b.clone().requires_grad_(of_b)]
    changing, right = (leaf * 1 for leaf in leaves)
    x = case.solve(changing, right)
    changing[0] *= 2
    right *= 2
    found = torch.autograd.grad(x.sum(), [leaf for leaf in leaves if leaf.requires_grad])
    wanted = [one for one, leaf in zip(expected, leaves, strict=True) if leaf.requires_grad]
    for one, other in zip(found, wanted, strict=True):
        near(one, other.sum(0).numpy(), 1e-11)


# Borders


BORDERED: dict[str, tuple[Solve, Callable[[int], Tensor]]] = {
    "Cholesky": (lambda band, b: BorderedCholesky(*around(band, Cholesky)).solve(b), definite),
    "LDL": (lambda band, b: BorderedLDL(*around(band, LDL)).solve(b), indefinite),
}


def around(band: Tensor, core: Callable[[Tensor], Any]) -> tuple[Any, Tensor, Tensor]:
    """Of the same matrix: a factored core of three unknowns; border and corner, the last unknown."""
    zero = band.new_zeros(())
    rows = [band[0, :3], torch.stack([band[1, 0], band[1, 1], zero]), torch.stack([band[2, 0], zero, zero])]
    return core(torch.stack(rows)), torch.stack([zero, band[2, 1], band[1, 2]])[None], band[:1, 3:]


@pytest.mark.parametrize("name", BORDERED)
def test_bordered_solves_have_the_same_derivatives(name: str) -> None:
    solve, bands = BORDERED[name]
    band, bs = bands(1)[0], operands(3, N)
    case = Case(solve, dense_symmetric, bands)
    near(vmap(solve, (None, 0))(band, bs), vmap(case.reference, (None, 0))(band, bs).numpy(), 1e-10)
    first, second = (f(band, bs[0]).numpy() for f in (jacrev(case.reference), jacrev(jacrev(case.reference))))
    for of in (jacrev, jacfwd):
        near(of(solve)(band, bs[0]), first, 1e-10)
    for twice in (jacrev(jacrev(solve)), hessian(solve), jacrev(jacfwd(solve))):
        near(twice(band, bs[0]), second, 1e-10)


@pytest.mark.parametrize("name", BORDERED)
def test_vmap_over_matrices_with_a_border(name: str) -> None:
    solve, bands = BORDERED[name]
    band, b = bands(3), operands(N)
    expected = torch.linalg.inv(dense_symmetric(band)) @ b
    near(vmap(solve, (0, None))(band, b), expected.numpy(), 1e-10)


@every_case
def test_forward_mode_over_backward_outside_torch_func(case: Case) -> None:
    band, b = case.bands(1)[0], operands(N).requires_grad_()
    change = torch.randn_like(band)

    def of(band: Tensor) -> Tensor:
        return torch.autograd.grad(case.solve(band, b).sin().sum(), b)[0]

    modes: Any = forward_ad  # without types
    with modes.dual_level():
        found = modes.unpack_dual(of(modes.make_dual(band, change))).tangent
    step = 1e-6
    torch.testing.assert_close(
        found, (of(band + step * change) - of(band - step * change)) / (2 * step), rtol=1e-6, atol=1e-7
    )
