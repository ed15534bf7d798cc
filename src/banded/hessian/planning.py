"""Making plans: the one place that knows all the stages, and joins them."""

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from banded.checks import check_bandwidth, check_function, check_whole
from banded.compiling import outside_graphs
from banded.errors import BandwidthError, RecoveryError
from banded.hessian.data import of_vector
from banded.hessian.detect import read_directly
from banded.hessian.engine import choose, eager_engine
from banded.hessian.extraction import AGREEMENT, METHODS, Extraction, extraction
from banded.hessian.layout import Tree, layout
from banded.hessian.plan import Plan
from banded.hessian.products import OfLeaves
from banded.hessian.structure import Structure
from banded.hessian.substitute import Substitution
from banded.hessian.survey import Origin, check_repeatable, each_problem, products_of, same_order, structure_of, survey
from banded.hessian.verify import Witness
from banded.matrix import Symmetric

SMALL = 64  # unknowns up to which a full matrix is nothing to warn of
MEMORY = 2**29  # bytes
UNEVEN = 16  # spread of the diagonal from which probes are scaled at once, which later costs products


@outside_graphs
def plan(
    f: Callable[..., Tensor],
    x: Tree,
    *,
    args: Sequence[Any] = (),
    bandwidth: int | None = None,
    periodic: bool = False,
    border: Sequence[str | int] | None = None,
    method: str = "auto",
    compile: bool = False,
    check: bool = True,
    batch_dims: int = 0,
    memory: int = MEMORY,
    residuals: bool = False,
) -> Plan:
    """Detect the structure of f's Hessian and choose a method and an engine once, to evaluate often.

    Args:
        f: twice differentiable, takes a pytree like `x` (of one problem), returns a scalar `()`.
        x: a typical point, float32 or float64: a tensor of any shape, or a
            pytree of tensors. The first dimension is time; those of the leaves of a
            tree agree, or are shorter by one (T states, T - 1 controls), and their
            unknowns are taken node after node. The unknowns of a tensor keep their
            row-major order, unless only another makes a band of the Hessian.
        args: what f takes besides, pytrees: f(x, *args). With batch dimensions, these lead all tensors in them:
            each problem takes its own.
        bandwidth: k, with H[i, j] = 0 wherever |i - j| > k; found if None, with a
            border, a loop and an order where there are, by about 12k products
            at `x` and at random points around it.
        periodic: with `bandwidth`: whether the band wraps round.
        border: unknowns that couple to everything (a free duration, shared
            parameters): leaves of a tree by name ("duration", or "model" for all in it) or
            position, unknowns of a tensor by number. Scalar leaves beside others are taken for such.
        method: "direct" reads every entry off one product, 2k + 1 of them or
            fewer, where there are zeros inside the band; "symmetric" needs k + 1 or fewer;
            "fourier" and "random" mix the probes of "direct"; "auto" takes one of the first two.
        compile: compile the whole product (seconds, once; cached on disk). Where
            that fails, a warning says why and the plan runs without.
        check: hold the band at `x` against one more product, with a random vector.
        batch_dims: leading dimensions of `x` that count problems; f takes one of them.
        memory: bytes that a vectorised pass may take, about; more probes come one pass after the other.
        residuals: f returns residuals r of any shape, the value is ½ Σ r², and the matrix Gauss and Newton's JᵀJ.

    Raises:
        TypeError: if a leaf of `x` is not a float32 or float64 tensor, or f does not return a real tensor.
        ValueError: if a leaf is empty, their times disagree, `border` names what is not there, `bandwidth` is not
            in 0..n - 1, `method` unknown, f not scalar, independent of x, or without second derivatives.
        NonFiniteError: if f or its gradient is not finite at `x`.
        BandwidthError: if the band does not hold the Hessian; says what would.
        RecoveryError: if rounding spoils the recovery, or f draws random numbers or keeps state.
    """
    made, witness = _make(f, x, args, bandwidth, periodic, border, method, compile, batch_dims, memory, residuals)
    return _settled(made, witness)[0] if check else made


@outside_graphs
def hessian(
    f: Callable[..., Tensor],
    x: Tree,
    *,
    args: Sequence[Any] = (),
    bandwidth: int | None = None,
    periodic: bool = False,
    border: Sequence[str | int] | None = None,
    method: str = "auto",
    check: bool = True,
    batch_dims: int = 0,
    memory: int = MEMORY,
) -> Symmetric:
    """Exact Hessian of f at `x` as a banded matrix, from a handful of products.

    The arguments and errors are those of `plan`, which is the way to evaluate
    more than once.

    Returns:
        `SymmetricBanded`, where the order of the unknowns and no border allows it, else
        `Periodic`, `Bordered` or `Reordered`: over the unknowns of `x`, row-major and leaf after
        leaf, `(*batch, n, n)`, in units of f / (x_i x_j), without a graph.
    """
    made, witness = _make(f, x, args, bandwidth, periodic, border, method, False, batch_dims, memory, False)
    return _settled(made, witness)[1] if check else made.evaluate(made.x)[2]


def _make(
    f: Callable[..., Tensor],
    x: Tree,
    args: Sequence[Any],
    bandwidth: int | None,
    periodic: bool,
    border: Sequence[str | int] | None,
    method: str,
    compile: bool,
    batch_dims: int,
    memory: int,
    residuals: bool,
) -> tuple[Plan, Origin]:
    check_function("f", f)
    f = getattr(f, "_torchdynamo_orig_callable", f)  # a function compiled by itself cannot be differentiated twice
    memory = check_whole("memory", memory)
    if memory < 1:
        raise ValueError(f"memory: expected a number of bytes, 1 or more, got {memory}")
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(map(repr, METHODS))}, got {method!r}")
    if periodic and bandwidth is None:
        raise ValueError("periodic: expected a bandwidth with it; leave both out to have loops found")
    where = layout(x, border, batch_dims)
    core = where.n - len(where.border)
    if bandwidth is not None:
        bandwidth = check_bandwidth(bandwidth, core)
        if periodic and 2 * bandwidth >= core:
            raise ValueError(f"periodic: expected 2 bandwidth < n = {core}, got bandwidth {bandwidth}")
    with torch.inference_mode(False):
        point = where.flatten(x).detach().clone()
    function = f if isinstance(f, OfLeaves) else of_vector(f, where, args, residuals)
    origin = survey(function, point, where)
    eager = functools.cache(functools.partial(eager_engine, function, point, memory))  # tried only where it is needed
    if bandwidth is None:
        every = products_of(lambda x, probes: eager().run(x, probes))
        structure = structure_of(each_problem(function, point, memory, every), every, origin.witness, where)
        _warn_if_full(structure)
    else:
        order = where.by_node()
        structure = Structure(where.n, bandwidth, periodic, len(where.border), order, None, where.width)
    read = extraction(structure, method, point, compiled=compile)
    probes = read.probes(point)
    choice = choose(function, point, probes, memory, compile, eager)
    return Plan(f, where, residuals, function, read, choice, compile, method == "auto", memory, point, probes), origin


def _warn_if_full(structure: Structure) -> None:
    m = structure.core
    if m > SMALL and 2 * structure.bandwidth >= m:
        warnings.warn(
            f"banded: found half-bandwidth {structure.bandwidth} of at most {m - 1}: the Hessian is nearly full, and "
            "its band saves nothing. Is time the first dimension of x? Does a term of f (a mean, a norm) couple all "
            "unknowns? Unknowns that couple to everything can be named in border=...",
            RuntimeWarning,
            stacklevel=5,
        )


def _settled(made: Plan, origin: Origin) -> tuple[Plan, Symmetric]:
    """The plan and the Hessian where it was made, by another recovery where that explains the witness better."""
    read, witness = made.extraction, origin.witness
    value, _, products = made.choice.run(made.x, made.probes)
    _check_value(value, origin)
    H = read.recover(products)
    best = None
    for other in _others(made, read, H):
        candidate = read if other is None else other
        shown = products if other is None else made.choice.run(made.x, other.probes(made.x))[2]
        matrix = H if other is None else candidate.recover(shown)
        amiss = (witness.leak(matrix) > 0, candidate.disagreement(shown, matrix))
        if best is None or amiss < best[0]:
            best = (amiss, candidate, matrix)
        if best[0] <= (False, AGREEMENT):
            break
    assert best is not None
    _, read, H = best
    if read is not made.extraction:
        made = replace(made, extraction=read, probes=read.probes(made.x))
    _check_band(made, witness, H)
    return made, H


def _others(made: Plan, read: Extraction, H: Symmetric) -> Iterator[Extraction | None]:
    """What to try, until it explains the witness: the recovery there is (None), and what may be more exact."""
    scaled = read.rescaled(H, UNEVEN)
    yield scaled
    recovery = (scaled or read).recovery
    if not isinstance(recovery, Substitution):
        return
    yield replace(read, recovery=recovery.undamped())
    if made.automatic:
        yield read.directly()


def _check_value(value: Tensor, origin: Origin) -> None:
    """The value must come out the same again; derivatives are looked at where they do not fit."""
    apart = (value - origin.value).abs()
    if bool((apart > torch.finfo(value.dtype).eps ** 0.5 * (1 + origin.value.abs())).any()):
        raise RecoveryError(
            f"f: expected the same value at the same x, got {float(origin.value.reshape(-1)[0]):.9g}, then "
            f"{float(value.reshape(-1)[0]):.9g}; keep random numbers (dropout, noise) and state outside f, "
            "fixed while it is solved"
        )


def _check_band(made: Plan, witness: Witness, H: Symmetric) -> None:
    """Hold H, recovered at the point where the plan was made, against the witness's product."""
    leak = witness.leak(H)
    if not leak:
        return
    check_repeatable(witness)
    have = made.extraction.structure
    plain = read_directly(replace(have, mask=None), witness.products, witness.x)
    if not witness.leak(plain):  # wide enough, then
        _check_recovery(made, witness, H, plain)
        return
    each = each_problem(made.of_vector, made.x, made.memory, witness.products)
    needed = structure_of(each, witness.products, witness, made.layout)
    raise BandwidthError(
        f"bandwidth: expected H[i, j] = 0 for |i - j| > {made.bandwidth}, found a leak of {leak:.3g} "
        f"outside that band; {_way_out(have, needed, batch=made.x.ndim > 1)}",
        leak=leak,
        bandwidth=made.bandwidth,
        needed=needed.bandwidth if same_order(have, needed) and _is_wider(needed, have) else None,
    )


def _is_wider(needed: Structure, have: Structure) -> bool:
    return needed.bandwidth > have.bandwidth or (needed.periodic, needed.border) != (have.periodic, have.border)


def _way_out(have: Structure, needed: Structure, *, batch: bool) -> str:
    if _is_wider(needed, have) and (needed.border or same_order(have, needed)):
        return f"pass bandwidth={needed.bandwidth}{_besides(needed)}, or leave it out"
    if not same_order(have, needed):
        return f"leave it out: in another order of the unknowns, half-bandwidth {needed.bandwidth} does"
    if batch:
        return "some problems of the batch couple unknowns that others do not; pass a bandwidth that holds for all"
    return "pass a larger one where you know it"


def _besides(needed: Structure) -> str:
    """What has to be said of a structure besides its bandwidth."""
    words = ", periodic=True" if needed.periodic else ""
    if needed.border:
        numbers = needed.numbers(torch.device("cpu"))[needed.core :].tolist()
        words += f" with the unknowns {numbers} in the border"
    return words


def _check_recovery(made: Plan, witness: Witness, H: Symmetric, exact: Symmetric) -> None:
    """The band is wide enough: then H may differ from what the plainest engine reads directly by rounding alone."""
    rows = exact.row_sums().sqrt()
    v = witness.v.expand_as(witness.x)
    eps = torch.finfo(H.dtype).eps
    allowed = max(1e4 * eps, eps ** (2 / 3)) * rows * (abs(exact) @ (v.abs() / rows.clamp(min=1e-300)))
    difference = (H @ v - exact @ v).abs()
    if bool((difference > allowed).any()):
        raise RecoveryError(
            f"method {made.method!r} on the {made.engine} engine: expected every entry to its last digits, got an "
            f"error of {float(difference.max()):.3g} in H v for a random v; "
            "use method='direct' without compile, or scale the unknowns"
        )
