"""Making plans of Lagrangians: in which order H + JᵀJ is a band, and where H and J have entries."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from banded.checks import check_bandwidth, check_curvature, check_finite
from banded.errors import BandwidthError, NonFiniteError, RecoveryError
from banded.hessian.coloring import for_rows
from banded.hessian.compiled import compile_value
from banded.hessian.constraints import Constraints
from banded.hessian.data import AnyFunction, SumOfSquares, data_of
from banded.hessian.detect import random_point, read_directly, significant
from banded.hessian.engine import Choice, choose, eager_engine
from banded.hessian.extraction import Extraction, extraction
from banded.hessian.lagrangian import LagrangianPlan, lagrangian
from banded.hessian.layout import Layout
from banded.hessian.products import Engine, Function, each_over_batch, value_of
from banded.hessian.recover import Direct
from banded.hessian.structure import Structure, folded, repeated
from banded.hessian.survey import each_problem, products_of, structure_of
from banded.hessian.verify import Products, Witness, testify

NEAR = 0.2  # of a whole number, that a place has to be
PARTS = 32  # of the chain; a constraint that has unknowns in most of them is none of a chain


def plan_lagrangian(
    f: Callable[..., Tensor],
    given: Constraints,
    where: Layout,
    x: Tensor,
    args: Sequence[Any],
    *,
    bandwidth: int | None,
    compile: bool,
    memory: int,
) -> LagrangianPlan:
    """Find the structure of a problem with constraints, and choose how its derivatives are computed.

    Args:
        f: the objective, of a pytree and `args`.
        given: the constraints.
        where: the layout of the unknowns.
        x: `(*batch, n)`, a typical point.
        args: what the functions take besides.
        bandwidth: of H + JᵀJ; found if None.
        compile: whether to compile the whole of it.
        memory: bytes that a vectorised pass may take, about.

    Raises:
        NonFiniteError: if f or its derivatives are not finite at `x`.
        BandwidthError: if a constraint or a term of f couples unknowns that are far apart.
    """
    n, m = where.n, given.m
    generator = torch.Generator().manual_seed(6)
    multipliers = torch.randn(m, generator=generator, dtype=torch.float64).to(x)
    point = torch.cat([x, multipliers.expand(*x.shape[:-1], -1), torch.ones_like(x[..., :1])], -1)
    whole, rows, values = lagrangian(f, given, where, args, point)
    eager = functools.cache(functools.partial(eager_engine, whole, point, memory))
    alone = functools.partial(eager_engine, rows, point, memory) if m else None
    _check_start(eager().run, alone, point, where)
    every = products_of(eager().run)
    each = functools.cache(each_problem(whole, point, memory, every))
    look = _Look(each, every, multipliers, n, data_of(whole) is None)
    witness = testify(look.every, x, torch.Generator().manual_seed(1))
    band = _found(look, witness, given, where) if bandwidth is None else _given(bandwidth, look, witness, where)
    read, columns, absent = _entries(look, folded(band), x.reshape(-1, n))
    probes = pad(read.probes(x), (0, m + 1))
    choice = choose(whole, point, probes, memory, compile, eager)
    return LagrangianPlan(
        where,
        given,
        whole,
        rows,
        values,
        _values(values, where, choice),
        read,
        choice,
        probes,
        columns,
        _positions(read, columns, n + m + 1, n),
        absent,
        point,
        memory,
    )


def _found(look: "_Look", witness: Witness, given: Constraints, where: Layout) -> Structure:
    """The structure that holds H + JᵀJ."""
    try:
        return structure_of(look.squared, look.every, witness, where)
    except BandwidthError as error:
        row = _long_row(look, witness.x.reshape(-1, where.n)[0]) if given.m else None
        if row is None:
            raise
        raise BandwidthError(
            f"constraints: expected each of them to couple few unknowns, which are close, and border; found that "
            f"{given.label(row)} couples unknowns all along the chain, so nothing is a band (n = {where.n}). A sum is "
            "a chain with unknowns that accumulate it, s[t + 1] = s[t] + x[t], of which the last one is constrained; "
            "what all nodes share is an unknown of its own, named in border=...",
            leak=error.leak,
            bandwidth=error.bandwidth,
            needed=None,
        ) from error


def _given(bandwidth: int, look: "_Look", witness: Witness, where: Layout) -> Structure:
    """The structure of a given half-bandwidth, held against a product of H + JᵀJ."""
    k = check_bandwidth(bandwidth, where.n - len(where.border))
    band = Structure(where.n, k, False, len(where.border), where.by_node(), None, where.width)
    leak = witness.leak(read_directly(band, look.every, witness.x))
    if leak:
        raise BandwidthError(
            f"bandwidth: expected terms of f and constraints that couple unknowns at most {k} apart, found a leak of "
            f"{leak:.3g} of H + JᵀJ outside that band; leave bandwidth out, or pass a larger one",
            leak=leak,
            bandwidth=k,
            needed=None,
        )
    return band


def _long_row(look: "_Look", x: Tensor) -> int | None:
    """The row of J with entries in most parts of the chain, if that is most of them."""
    n = len(x)
    parts = min(n, PARTS)
    part = torch.arange(n, device=x.device) * parts // n
    v = torch.randn(n, generator=torch.Generator().manual_seed(9), dtype=torch.float64).to(x)
    probes = torch.where(part == torch.arange(parts, device=x.device)[:, None], v, 0)
    count, row = (look.at(0, x, probes)[1] != 0).sum(0).max(0)
    return int(row) if 2 * int(count) > parts else None


def _check_start(run: Engine, alone: Callable[[], Choice] | None, point: Tensor, where: Layout) -> None:
    n = where.n
    v = torch.randn(n, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(point)
    probes = pad(v, (0, point.shape[-1] - n))[None]
    _, gradient, products = run(point, probes)
    if alone is not None and not bool(gradient[..., :n].isfinite().all()):
        _check_rows(alone().run(point, probes)[1][..., :n], where)
    for number, slope in enumerate(gradient.reshape(-1, point.shape[-1])):
        problem = number if point.ndim > 1 else None
        check_finite(slope[-1], slope[:n].reshape(where.shapes[0]) if where.is_tensor else slope[:n], problem)
    check_curvature(products.reshape(-1))


def _check_rows(gradient: Tensor, where: Layout) -> None:
    """That of the constraints, `(*batch, n)`, must be finite where that of f is."""
    bad = (~gradient.isfinite()).nonzero()
    if len(bad):
        raise NonFiniteError(
            f"constraints: expected finite derivatives at the start, got {gradient[tuple(bad[0])].item()} for "
            f"{where.label(int(bad[0][-1]))}, summed over the constraints; look for sqrt, norm, division or log at "
            "the edge of their domain, or start elsewhere"
        )


def _values(values: AnyFunction, where: Layout, choice: Choice) -> Function:
    assert not isinstance(values, SumOfSquares)
    whole = each_over_batch(values, len(where.batch), vectorised=choice.vectorised, check=lambda _value, _x: None)
    return value_of(compile_value(whole) if choice.name == "compiled" else whole)


class _Look:
    """The products of a Lagrangian with probes of x, problem by problem.

    Args:
        runs: those with probes of (x, λ, σ), by the number of the problem.
        whole: those of all problems.
        multipliers: λ at which to look, `(m,)`.
        n: unknowns.
        alike: whether all problems are one function.
    """

    def __init__(
        self, runs: Callable[[int], Products], whole: Products, multipliers: Tensor, n: int, alike: bool
    ) -> None:
        self._runs, self._whole, self._multipliers, self._n, self._alike = runs, whole, multipliers, n, alike
        self._squared: dict[int, Products] = {}

    def at(self, number: int, x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor]:
        """H v `(c, n)` and J v `(c, m)` at x `(n,)`."""
        m = len(self._multipliers)
        shown = self._runs(number)(self._point(x), pad(probes, (0, m + 1)))
        return shown[:, : self._n], shown[:, self._n : self._n + m]

    def squared(self, number: int) -> Products:
        """(H + Jᵀ W J) v, with weights that make the rows of J as long as one."""
        number = 0 if self._alike else number
        if number not in self._squared:
            self._squared[number] = self._squares(self._runs(number))
        return self._squared[number]

    def every(self, x: Tensor, probes: Tensor) -> Tensor:
        """The same of all problems, `(*batch, c, n)`."""
        return self._squares(self._whole)(x, probes)

    def _squares(self, run: Products) -> Products:
        weights: Tensor | None = None
        n, m = self._n, len(self._multipliers)

        def products(x: Tensor, probes: Tensor) -> Tensor:
            nonlocal weights
            of_x = pad(probes, (0, m + 1))
            shown = run(self._point(x), of_x)
            of_H, of_J = shown[..., :n], shown[..., n : n + m]
            if not m:
                return of_H
            if weights is None:
                generator = torch.Generator().manual_seed(7)
                v = torch.randn(3, n, generator=generator, dtype=torch.float64).to(x)
                size = run(self._point(x), pad(v, (0, m + 1)))[..., n : n + m].square().sum(-2)
                weights = torch.where((size > 0) & size.isfinite(), 1 / size, 1)
            back = pad(weights[..., None, :] * of_J, (n, 1))
            return of_H + run(self._point(x), back.movedim(-2, 0))[..., :n]

        return products

    def _point(self, x: Tensor) -> Tensor:
        return torch.cat([x, self._multipliers.expand(*x.shape[:-1], -1), torch.ones_like(x[..., :1])], -1)


def _entries(look: _Look, band: Structure, problems: Tensor) -> tuple[Extraction, Tensor, Tensor | None]:
    """How H is read in the order of the band, and where the rows of J have entries, as in `LagrangianPlan`."""
    direct = extraction(replace(band, mask=None), "direct", problems[0], compiled=False)  # no search for colours
    masks, found = [], []
    last = len(problems) - 1
    for number in sorted({0, last // 3, 2 * last // 3, last}):
        generator = torch.Generator().manual_seed(8)
        moved = random_point(look.squared(number), problems[number], generator)
        for x in (problems[number], moved):
            probes = direct.probes(x)
            weighted = probes * (1 + band.numbers(x.device).argsort() / band.n)
            of_H, of_J = look.at(number, x, torch.cat([probes, weighted]))
            H = direct.recover(of_H[: len(probes)])
            at = functools.partial(_products_of_H, look, number)
            masks.append(significant(testify(at, x, generator), H, band))
            found.append(_decode(of_J[: len(probes)], of_J[len(probes) :], direct, band))
    structure = _narrowed(band, np.logical_or.reduce(masks))
    columns, absent = _padded(torch.unique(torch.cat(found), dim=0), found[0].new_tensor(len(look._multipliers)), band)
    longest = 1 if absent is None and not len(columns) else columns.shape[1]
    coloring = for_rows(structure, band, longest, problems.device)
    read = Extraction(
        structure, "direct", "with the constraints", Direct(structure, coloring, problems.device), problems[0]
    )
    return read, columns, absent


def _products_of_H(look: _Look, number: int, x: Tensor, probes: Tensor) -> Tensor:
    return look.at(number, x, probes)[0]


def _narrowed(band: Structure, mask: np.ndarray) -> Structure:
    """The band with the entries of H alone; it keeps its width, in which JᵀJ has to fit."""
    mask[0] = True
    pattern = repeated(mask, band.width)
    device = None if band.order is None else band.order.device
    full = np.ones_like(mask) if pattern is None else pattern
    return replace(band, mask=torch.from_numpy(full).to(device))


def _decode(shown: Tensor, weighted: Tensor, direct: Extraction, band: Structure) -> Tensor:
    """`(E, 2)`: row and column of the entries of J, from its products with probes and with those that rise along x.

    Where a row has one entry under a colour, the second product over the first tells its place.
    """
    eps = torch.finfo(shown.dtype).eps
    scale = shown.abs().sum(0)
    source, row = (shown.abs() > 0.1 * eps ** (2 / 3) * scale).nonzero().unbind(1)
    place = (weighted[source, row] / shown[source, row] - 1).double() * band.n
    colors = direct.recovery.coloring.colors
    nearest = place.round().clamp(0, band.n - 1).long()
    sources = torch.cat([colors, direct.recovery.coloring.count + torch.arange(band.border, device=colors.device)])
    good = ((place - nearest).abs() < NEAR) & (sources[nearest] == source)
    if not bool(good.all()):
        number = int(row[~good][0])
        raise RecoveryError(
            f"constraints: expected the same derivatives at the same x, and row {number} to couple unknowns as the "
            "others do, found products that contradict each other; keep random numbers and state outside the "
            "functions, and see that no constraint is much larger than the others"
        )
    return torch.stack([row, band.numbers(shown.device)[nearest]], 1)


def _padded(entries: Tensor, m: Tensor, band: Structure) -> tuple[Tensor, Tensor | None]:
    """Columns `(m, w)` of entries `(E, 2)`, sorted by row, and which of them only fill up their row."""
    rows = int(m)
    count = torch.bincount(entries[:, 0], minlength=rows)
    width = max(1, int(count.max())) if rows else 1
    first = count.cumsum(0) - count
    turn = torch.arange(width, device=entries.device)
    absent = turn >= count[:, None]
    at = (first[:, None] + turn.minimum((count - 1).clamp(min=0)[:, None])).clamp(max=max(0, len(entries) - 1))
    columns = entries[:, 1][at] if len(entries) else torch.zeros_like(at)
    return columns.contiguous(), absent if bool(absent.any()) else None


def _positions(read: Extraction, columns: Tensor, length: int, first: int) -> Tensor:
    """`(m, w)`: where in the products `(c, length)` the entries of J stand, whose rows begin at `first`."""
    structure, coloring = read.structure, read.recovery.coloring
    place = columns if structure.place is None else structure.place.to(columns.device)[columns]
    sources = torch.cat(
        [coloring.colors, coloring.count + torch.arange(structure.border, device=coloring.colors.device)]
    )
    return sources[place] * length + first + torch.arange(len(columns), device=columns.device)[:, None]
