"""A first look at a function, at the point where a plan is made: what the plainest engine says, and the structure."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from banded.checks import check_curvature, check_finite
from banded.errors import BandwidthError, RecoveryError
from banded.hessian.data import AnyFunction, data_of, of_problem
from banded.hessian.detect import detect, read_directly
from banded.hessian.engine import eager_engine
from banded.hessian.layout import Layout
from banded.hessian.probes import gaussian
from banded.hessian.products import Engine, loop, over_batch
from banded.hessian.structure import Structure
from banded.hessian.verify import Products, Witness

PROBLEMS = 6  # of a batch that are looked at to find their structure
MANY = 32  # problems, above which they are no longer all evaluated one by one


@dataclass(frozen=True)
class Origin:
    """What the plainest engine says at the point where a plan is made."""

    witness: Witness
    value: Tensor


def survey(f: AnyFunction, point: Tensor, where: Layout) -> Origin:
    """H v by the plainest engine, at the point where a plan is made; checks on the way what f returns."""
    run = _plainest(f, point)
    v = gaussian(point.shape[-1], point, torch.Generator().manual_seed(1))
    value, gradient, products = run(point, v[None])
    for number, (one, slope) in enumerate(zip(value.reshape(-1), gradient.reshape(-1, point.shape[-1]), strict=True)):
        problem = number if point.ndim > 1 else None
        check_finite(one, slope.reshape(where.shapes[0]) if where.is_tensor else slope, problem)
    product = products[..., 0, :]
    check_curvature(product.reshape(-1, point.shape[-1])[0] if point.ndim == 1 else product.reshape(-1))
    return Origin(Witness(products_of(run), point, v, product), value)


def _plainest(f: AnyFunction, point: Tensor) -> Engine:
    """One product and one problem after the other; of a large batch at once, where a few problems vouch for that."""
    plain = loop(over_batch(f, point.ndim - 1, vectorised=False))
    if point.ndim != 2 or len(point) <= MANY:
        return plain
    together = loop(over_batch(f, 1, vectorised=True))
    v = gaussian(point.shape[-1], point, torch.Generator().manual_seed(4))[None]
    few = torch.arange(0, len(point), len(point) // PROBLEMS)[:PROBLEMS]
    try:
        products = together(point, v)[2][few, 0]
    except RuntimeError:
        return plain
    for number, product in zip(few.tolist(), products, strict=True):
        expected = loop(over_batch(of_problem(f, number), 0, vectorised=False))(point[number], v)[2][0]
        tolerance = torch.finfo(point.dtype).eps ** (2 / 3) * float(expected.abs().max())
        if not bool(((product - expected).abs() <= tolerance).all()):
            return plain
    return together


def each_problem(f: AnyFunction, point: Tensor, memory: int, every: Products) -> Callable[[int], Products]:
    """The products of one problem by its number."""
    if point.ndim == 1:
        return lambda number: every
    problems = point.reshape(-1, point.shape[-1])
    if data_of(f) is None:
        one = products_of(eager_engine(f, problems[0], memory).run)
        return lambda number: one
    return lambda number: products_of(eager_engine(of_problem(f, number), problems[number], memory).run)


def structure_of(each: Callable[[int], Products], every: Products, witness: Witness, where: Layout) -> Structure:
    """The structure, of a batch from a few of its problems, and from others that it turns out not to hold.

    Args:
        each: products of one problem, by its number; with data, they are another function for each.
        every: of all of them.
        witness: of all of them.
        where: their layout.
    """
    problems = witness.x.reshape(-1, where.n)
    last = len(problems) - 1
    chosen = sorted({0, last // 3, 2 * last // 3, last})
    try:
        while True:
            structure = _structure(each, problems, chosen, where)
            odd = witness.odd(read_directly(structure, every, witness.x)) if len(chosen) <= last else None
            if odd is None or odd in chosen or len(chosen) == PROBLEMS:
                return structure
            chosen.append(odd)
    except (BandwidthError, RecoveryError):
        check_repeatable(witness)
        raise


def _structure(each: Callable[[int], Products], problems: Tensor, chosen: list[int], where: Layout) -> Structure:
    """That of some problems: together where they are one function, else the widest, with no zeros inside."""
    if each(chosen[0]) is each(chosen[-1]):
        points = [problems[i] for i in chosen]
        return detect(each(chosen[0]), points, where, torch.Generator().manual_seed(0))
    found = [detect(each(i), [problems[i]], where, torch.Generator().manual_seed(0)) for i in chosen]
    widest = max(found, key=lambda one: (one.border, one.periodic, one.bandwidth))
    if all(
        one.mask is None or (one.mask.shape == widest.mask.shape and bool((one.mask == widest.mask).all()))
        for one in found
        if widest.mask is not None
    ) and all(same_order(one, widest) and one.bandwidth == widest.bandwidth for one in found):
        return widest
    return replace(widest, mask=None)


def same_order(one: Structure, other: Structure) -> bool:
    """Whether both have the unknowns at the same places."""
    cpu = torch.device("cpu")
    return torch.equal(one.numbers(cpu), other.numbers(cpu))


def products_of(run: Engine) -> Products:
    """An engine's products alone."""
    return lambda point, probes: run(point, probes)[2]


def check_repeatable(witness: Witness) -> None:
    """Asked only where something is amiss."""
    if not witness.repeatable:
        raise RecoveryError(
            "f: expected the same derivatives at the same x, got a Hessian that changes from one evaluation to the "
            "next; keep random numbers (dropout, noise) and state outside f, fixed while it is solved"
        )
