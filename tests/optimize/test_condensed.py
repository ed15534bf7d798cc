"""The system of a step, condensed and refined, against the whole of it solved densely."""

import pytest
import torch
from torch import Tensor

from banded.matrix import Bordered, Periodic, Reordered, Symmetric, SymmetricBanded
from banded.matrix.rows import Congruence, Rows
from banded.optimize.interior.form import Form
from banded.optimize.interior.kkt import EPSILON, BandSystem, GeneralSystem, System, condensed, softened

N, M, K, EQUALITIES, B = 14, 6, 3, 4, 3
STRUCTURES = ["band", "reordered", "periodic", "bordered"]


class Case:
    """Random systems of one structure: N unknowns, one of them fixed; EQUALITIES rows, and some with a slack each."""

    def __init__(self, name: str, seed: int = 0, *, curvature: float = 5.0) -> None:
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        border = 2 if name == "bordered" else 0
        core = N - border
        band = normal(B, K + 1, core)
        band[:, 0] += curvature
        H: Symmetric = Periodic(band) if name == "periodic" else SymmetricBanded(band).cleaned()
        if border:
            H = Bordered(H, normal(B, border, core), normal(B, border, border) + 9 * torch.eye(border).double())
        columns = (torch.arange(M) * 2)[:, None] + torch.arange(K)
        if border:
            columns = torch.cat([columns % (core - K + 1), torch.full((M, 1), N - 1)], 1)
            columns = torch.cat([(torch.arange(M) % (core - K))[:, None] + torch.arange(K), columns[:, -1:]], 1)
        columns = columns.clamp(max=N - 1)
        if name == "reordered":
            order = torch.randperm(N, generator=generator)
            H, columns = Reordered(H, order), order[columns]
        lower, upper = torch.full((B, N), -1.0).double(), torch.full((B, N), 1.0).double()
        upper[:, 5] = lower[:, 5]
        self.form = Form.of(lower, upper, M, EQUALITIES)
        free = self.form.free.double()
        mask = H._of_outer(free[..., None], free[..., None])
        self.H = H.with_tensors(tuple(a * b for a, b in zip(H.tensors, mask.tensors, strict=True)))
        J = Rows(columns, normal(B, *columns.shape), N)
        self.J = J.with_values(J.values * free[:, columns])
        self.S = torch.rand(B, self.form.size, generator=generator, dtype=torch.float64) + 0.1
        self.S[:, 5] = 1
        single = self.H.with_tensors(tuple(one[0] for one in self.H.tensors))
        self.congruence = Congruence(columns, single)
        self.a, self.b = normal(B, self.form.size), normal(B, M)
        self.a[:, 5] = 0

    def dense(self, number: int, compliance: float) -> Tensor:
        """The whole system of one problem."""
        size = self.form.size
        whole = torch.diag(torch.cat([self.S[number], torch.full((M,), -compliance).double()]))
        whole[:N, :N] += self.H.to_dense()[number]
        E = torch.zeros(M, size).double()
        E[:, :N] = self.J.to_dense()[number]
        E[torch.arange(EQUALITIES, M), torch.arange(N, size)] = -1
        whole[size:, :size], whole[:size, size:] = E, E.mT
        return whole

    def made(self, compliance: float = 0.0, *, general: bool = False) -> System:
        """The condensed system."""
        of_all = torch.full((B,), compliance).double()
        if general:
            self.congruence.is_one_band = False
        epsilon = torch.full((B,), EPSILON).double()
        return condensed(self.form, self.H, self.J, self.S, of_all, self.congruence, epsilon)


@pytest.mark.parametrize("compliance", [0.0, 1e-3])
@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize("name", STRUCTURES)
def test_solutions_are_those_of_the_whole_system(name: str, general: bool, compliance: float) -> None:
    case = Case(name)
    system = case.made(compliance, general=general)
    assert isinstance(system, GeneralSystem if general or name in ("periodic", "bordered") else BandSystem)
    v, multipliers, residual = system.solve(case.a, case.b)
    assert float(residual.max()) < 1e-11
    for number in range(B):
        rhs = torch.cat([case.a[number], case.b[number]])
        expected = torch.linalg.solve(case.dense(number, compliance), rhs)
        torch.testing.assert_close(torch.cat([v[number], multipliers[number]]), expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("curvature", [-3.0, -1.0, 0.0, 1.0, 3.0])
@pytest.mark.parametrize("name", STRUCTURES)
def test_it_is_definite_just_where_the_inertia_is_right(name: str, curvature: float) -> None:
    for seed in range(5):
        case = Case(name, seed, curvature=curvature)
        for general in (False, True):
            good = case.made(general=general).good.tolist()
            for number in range(B):
                values = torch.linalg.eigvalsh(case.dense(number, 0.0))
                assert good[number] == (int((values < 0).sum()) == M)


@pytest.mark.parametrize("general", [False, True])
def test_some_of_a_batch_are_solved_as_among_all(general: bool) -> None:
    case = Case("band")
    system = case.made(general=general)
    every = system.solve(case.a, case.b)
    rows = torch.tensor([2, 0])
    some = system.take(rows).solve(case.a[rows], case.b[rows])
    for one, other in zip(every, some, strict=True):
        torch.testing.assert_close(one[rows], other, rtol=1e-9, atol=1e-12)


def test_equations_are_met_to_rounding_errors_however_badly_they_are_scaled() -> None:
    case = Case("band")
    case.J = case.J.with_values(case.J.values * torch.logspace(-4, 2, M, dtype=torch.float64)[:, None])
    v, _, _ = case.made().solve(case.a, case.b)
    rows = case.form.add_rows(case.J @ v[:, :N], v)
    assert float((rows - case.b).abs().max()) < 1e-12 * float(v.abs().max())


@pytest.mark.parametrize("size", [0.0, 1e-2, 1.0, 1e2])  # of H beside the median of S
@pytest.mark.parametrize("name", ["band", "reordered"])
def test_compiled_loops_soften_equations_as_pytorch_does(name: str, size: float) -> None:
    case = Case(name)
    case.H = case.H.with_tensors(tuple(size * one for one in case.H.tensors))
    case.J.values[:, 2] = 0  # a row without entries
    compliance, epsilon = torch.tensor([0, 1e-3, 1e3]).double(), torch.tensor([1e-10, 1e-2, 1e-4]).double()
    system = condensed(case.form, case.H, case.J, case.S, compliance, case.congruence, epsilon)
    assert isinstance(system, BandSystem)
    expected = softened(case.form, case.H, case.J, case.S, compliance, epsilon)
    torch.testing.assert_close(torch.from_numpy(system.C), expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("width", [0, 1, 13, 14, 20, 40])
def test_bands_of_any_width_and_rows_in_any_order(width: int) -> None:
    generator = torch.Generator().manual_seed(width)
    n, m = 41, 9
    band = torch.randn(1, width + 1, n, generator=generator).double()
    band[:, 0] += 3 * width + 3
    starts = torch.randint(n - width, (m, 1), generator=generator)
    columns = starts + torch.randint(width + 1, (m, min(width + 1, 4)), generator=generator)  # some of them twice
    columns, values = columns.sort(1).values.flip(1), torch.randn(1, *columns.shape, generator=generator).double()
    values[0, :, 1:][columns[:, 1:] == columns[:, :-1]] = 0
    H, J = SymmetricBanded(band).cleaned(), Rows(columns, values, n)
    single = H.with_tensors((H.band[0],))
    form = Form.of(torch.full((1, n), -torch.inf).double(), torch.full((1, n), torch.inf).double(), m, m)
    S, one = torch.rand(1, n, generator=generator).double(), torch.ones(1).double()
    system = condensed(form, H, J, S, 0.1 * one, Congruence(columns, single), EPSILON * one)
    a, b = torch.randn(1, n, generator=generator).double(), torch.randn(1, m, generator=generator).double()
    v, multipliers, residual = system.solve(a, b)
    above = H @ v + S * v + J.transposed_times(multipliers)
    assert float(residual) < 1e-13
    torch.testing.assert_close(above, a, rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(J @ v - 0.1 * multipliers, b, rtol=1e-10, atol=1e-11)
