"""Functions in PyTorch, JAX and CasADi, and the ways to their Hessians that extraction.py times.

A way gets its output in the form that costs it least: products stay products, asdex
gives the values without their indices, CasADi writes the lower triangle into an array of
NumPy. Only `banded` gives value, gradient and band each time.
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import pi
from typing import Any

import numpy as np
import torch
from torch import Tensor

import banded
from banded.problems import cartpole

RHO = 10.0
EAGER, COMPILED = "banded, eager", "banded, compiled"
GRADIENT, COMPILED_GRADIENT = "gradient, eager", "gradient, compiled"
RECOMPILE_LIMIT = 1000  # all cases compile the same few lambdas

# What is left out because it takes minutes or tens of GB, in scalars
TANGENTS = 4e8  # n x operations x probes that the plain vectorised ways of PyTorch keep
MULTIPLICATIONS = 1e9  # the same, of the vectorised ways of JAX, which take a minute a call there
SCALARS = 1e7  # n x operations in the graph of SX, about a minute to build
ENTRIES = 1.5e6  # of H in asdex's detection; beyond, the pattern is given
FULL = 2000  # unknowns up to which a full Hessian is taken


class Skipped(Exception):
    """Why a way is not timed."""


@dataclass(frozen=True)
class Case:
    """One function, in the languages of all.

    Attributes:
        full: every entry of the band is there.
        operations: elementary ones per unknown, roughly.
        torch: takes x `(n,)`.
        jax: jax.numpy -> the same function.
        casadi: casadi, SX `(n, 1)` -> SX.
    """

    title: str
    n: int
    bandwidth: int
    full: bool
    operations: int
    torch: Callable[[Tensor], Tensor]
    jax: Callable[[Any], Callable[[Any], Any]]
    casadi: Callable[[Any, Any], Any]

    @property
    def x(self) -> Tensor:
        return torch.from_numpy(np.random.default_rng(0).standard_normal(self.n))

    @property
    def combs(self) -> int:
        return min(2 * self.bandwidth + 1, self.n)

    @property
    def probes(self) -> Tensor:
        """`(combs, n)`, as everyone would build them."""
        return (torch.arange(self.n) % self.combs == torch.arange(self.combs)[:, None]).double()


@dataclass(frozen=True)
class Way:
    """A way to a Hessian, ready to be called.

    Attributes:
        band: output of the call -> `(k + 1, n)` of NumPy; None for a gradient.
        written: bytes of the output.
        products: Hessian-vector products in a call, None where there are none.
    """

    call: Callable[[], Any]
    band: Callable[[Any], np.ndarray] | None
    written: int
    products: int | None = None
    note: str = ""


def penalty(size: int) -> Case:
    """The cart-pole with its constraints as a penalty, of about `size` unknowns."""
    nodes = max(3, size // 5 + 1)
    problem, step = cartpole(nodes), 10 / nodes
    equality = problem.equality
    assert equality is not None
    weight = np.arange(1, nodes) / nodes

    def in_torch(x: Tensor) -> Tensor:
        z = x.reshape(-1, 5)
        return problem.objective(z) + RHO * equality(z).square().sum()

    def in_jax(jnp: Any) -> Callable[[Any], Any]:
        def f(x: Any) -> Any:
            z = x.reshape(-1, 5)
            before = jnp.concatenate([jnp.zeros((1, 5)), z[:-1]])
            _, _, velocity, angle, rate = ((before + z) / 2).T
            force = z[:, 0]
            rates = jnp.stack([velocity, force, rate, force * jnp.cos(angle) - jnp.sin(angle)], 1)
            residuals = (z - before)[:, 1:] / step - rates
            cost = 0.1 * (z**2).sum() + ((z[:, 3] - pi) ** 2 * weight).sum() + 0.5 * (force**2).sum()
            return cost + RHO * (residuals**2).sum()

        return f

    def in_casadi(ca: Any, x: Any) -> Any:
        z = ca.reshape(x, 5, nodes - 1).T
        before = ca.vertcat(ca.SX.zeros(1, 5), z[:-1, :])
        middle, force = (before + z) / 2, z[:, 0]
        velocity, angle, rate = middle[:, 2], middle[:, 3], middle[:, 4]
        rates = ca.horzcat(velocity, force, rate, force * ca.cos(angle) - ca.sin(angle))
        residuals = (z - before)[:, 1:] / step - rates
        cost = 0.1 * ca.sumsqr(z) + ca.dot((z[:, 3] - pi) ** 2, ca.DM(weight)) + 0.5 * ca.sumsqr(force)
        return cost + RHO * ca.sumsqr(residuals)

    n, bandwidth = 5 * (nodes - 1), min(6, 5 * nodes - 6)
    return Case("cart-pole, penalty", n, bandwidth, False, 9, in_torch, in_jax, in_casadi)


def pairs(size: int, k: int) -> Case:
    """Σ sin(x_i x_{i+d}) / d over d = 1..k: every entry of the band is there."""
    distances = range(1, k + 1)

    def in_torch(x: Tensor) -> Tensor:
        return sum(((x[:-d] * x[d:]).sin().sum() / d for d in distances), x.new_zeros(()))

    def in_jax(jnp: Any) -> Callable[[Any], Any]:
        return lambda x: sum(jnp.sin(x[:-d] * x[d:]).sum() / d for d in distances)

    def in_casadi(ca: Any, x: Any) -> Any:
        return sum(ca.sum1(ca.sin(x[:-d] * x[d:])) / d for d in distances)

    return Case("Σ sin(x_i x_{i+d}) / d", size, k, True, 3 * k, in_torch, in_jax, in_casadi)


def make(family: str, size: int, k: int) -> Case:
    return penalty(size) if family == "cartpole" else pairs(size, k)


def optional(name: str) -> Any:
    """A module that may be missing; JAX in double precision."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        raise Skipped(f"{name} is not installed") from None
    if name == "jax":
        module.config.update("jax_enable_x64", True)
    return module


def from_products(products: Any, case: Case) -> np.ndarray:
    """H[j + d, j] is entry j + d of the product with the comb that has a tooth at j."""
    products = np.asarray(products)
    band = np.zeros((case.bandwidth + 1, case.n))
    for d in range(case.bandwidth + 1):
        j = np.arange(case.n - d)
        band[d, : case.n - d] = products[j % case.combs, j + d]
    return band


def from_entries(rows: Any, columns: Any, values: Any, case: Case) -> np.ndarray:
    rows, columns, values = np.asarray(rows), np.asarray(columns), np.asarray(values)
    lower = rows >= columns
    band = np.zeros((case.bandwidth + 1, case.n))
    band[(rows - columns)[lower], columns[lower]] = values[lower]
    return band


def eager_gradient(case: Case) -> Way:
    leaf = case.x.requires_grad_()
    return Way(lambda: torch.autograd.grad(case.torch(leaf), leaf), None, 8 * case.n)


def compiled_gradient(case: Case) -> Way:
    compiler: Any = torch.compile  # whose type stubs lack recompile_limit
    derivative: Any = torch.func.grad_and_value(case.torch)
    run = compiler(derivative, fullgraph=True, dynamic=False, recompile_limit=RECOMPILE_LIMIT)
    x = case.x

    def call() -> Any:
        with torch.no_grad():
            return run(x)

    return Way(call, None, 8 * case.n)


def on_the_band(case: Case, compile: bool) -> Way:
    plan, x = banded.plan(case.torch, case.x, compile=compile), case.x
    written = 8 * case.n * (case.bandwidth + 1)
    return Way(lambda: plan(x), lambda out: out[2].band.numpy(), written, plan.products, str(plan))


def of_products(case: Case, call: Callable[[], Any]) -> Way:
    return Way(call, lambda products: from_products(products, case), 8 * case.n * case.combs, case.combs)


def double_backward(case: Case) -> tuple[Tensor, Callable[[], Tensor]]:
    leaf = case.x.requires_grad_()
    return leaf, lambda: torch.autograd.grad(case.torch(leaf), leaf, create_graph=True)[0]


def loop(case: Case) -> Way:
    (leaf, gradient), probes = double_backward(case), case.probes

    def call() -> Tensor:
        g = gradient()
        return torch.stack([torch.autograd.grad(g, leaf, v, retain_graph=True)[0] for v in probes])

    return of_products(case, call)


def guard(case: Case, most: float) -> None:
    if case.n * case.operations * case.combs > most:
        raise Skipped(f"{case.combs} probes at once would take minutes or tens of GB")


def batched(case: Case) -> Way:
    guard(case, TANGENTS)
    (leaf, gradient), probes = double_backward(case), case.probes
    return of_products(case, lambda: torch.autograd.grad(gradient(), leaf, probes, is_grads_batched=True)[0])


def replicated(case: Case) -> Way:
    """A batch of equal copies of the problem, each with its own comb."""
    guard(case, TANGENTS)
    probes = case.probes
    copies = case.x.repeat(case.combs, 1).requires_grad_()

    def call() -> Tensor:
        total = torch.func.vmap(case.torch)(copies).sum()
        (gradient,) = torch.autograd.grad(total, copies, create_graph=True)
        return torch.autograd.grad(gradient, copies, probes)[0]

    return of_products(case, call)


def functional(case: Case) -> Way:
    guard(case, TANGENTS)
    x, probes = case.x, case.probes
    gradient: Any = torch.func.grad(case.torch)

    def product(v: Tensor) -> Tensor:
        tangent: Any = torch.func.jvp(gradient, (x,), (v,))[1]
        along: Tensor = tangent
        return along

    products = torch.func.vmap(product)
    return of_products(case, lambda: products(probes))


def full(case: Case) -> Way:
    if case.n > FULL:
        raise Skipped(f"a full matrix of {case.n:,} unknowns is only taken up to {FULL:,}")
    x = case.x
    hessian: Any = torch.func.hessian(case.torch)

    def band(H: Tensor) -> np.ndarray:
        diagonals = [torch.nn.functional.pad(H.diagonal(-d), (0, d)) for d in range(case.bandwidth + 1)]
        return torch.stack(diagonals).numpy()

    return Way(lambda: hessian(x), band, 8 * case.n**2, case.n)


def jax_way(case: Case, one_by_one: bool) -> Way:
    """Jitted: vmap(jvp(grad)), the plain way, or each comb in turn through the linearised gradient.

    The second is the stronger one: XLA fuses the first such that it takes every sine once per comb.
    """
    jax = optional("jax")
    if not one_by_one:
        guard(case, MULTIPLICATIONS)
    x, probes = jax.numpy.asarray(case.x.numpy()), jax.numpy.asarray(case.probes.numpy())
    gradient = jax.grad(case.jax(jax.numpy))

    def plain(x: Any, probes: Any) -> Any:
        return jax.vmap(lambda v: jax.jvp(gradient, (x,), (v,))[1])(probes)

    def mapped(x: Any, probes: Any) -> Any:
        return jax.lax.map(jax.linearize(gradient, x)[1], probes)

    run = jax.jit(mapped if one_by_one else plain)
    return of_products(case, lambda: jax.block_until_ready(run(x, probes)))


@lru_cache(maxsize=1)
def colored(case: Case) -> tuple[Any, str]:
    """asdex's pattern and colours; detected, but for a full band of millions of entries."""
    jax, asdex = optional("jax"), optional("asdex")
    n, k = case.n, case.bandwidth
    gc.freeze()  # the collector going through what others left behind is none of asdex's time
    if not case.full or n * (2 * k + 1) <= ENTRIES:
        return asdex.hessian_coloring(case.jax(jax.numpy), jax.numpy.asarray(case.x.numpy())), ""
    offsets = np.arange(-k, k + 1, dtype=np.int32)
    rows = np.repeat(np.arange(n, dtype=np.int32), 2 * k + 1)
    columns = rows + np.tile(offsets, n)
    inside = (columns >= 0) & (columns < n)
    pattern = asdex.SparsityPattern.from_coo(rows[inside], columns[inside], (n, n))
    return asdex.hessian_coloring_from_sparsity(pattern), "pattern given, not detected"


def asdex_way(case: Case, chunk_size: int | None) -> Way:
    """Jitted, without the indices; all colours vectorised, as is the default, or in chunks."""
    jax, asdex = optional("jax"), optional("asdex")
    if chunk_size is None:
        guard(case, MULTIPLICATIONS)
    coloring, note = colored(case)
    x, pattern = jax.numpy.asarray(case.x.numpy()), coloring.sparsity
    hessian = asdex.hessian_from_coloring(case.jax(jax.numpy), coloring, chunk_size=chunk_size)
    run = jax.jit(lambda x: hessian(x).data)

    def band(values: Any) -> np.ndarray:
        return from_entries(pattern.rows, pattern.cols, values, case)

    return Way(lambda: jax.block_until_ready(run(x)), band, 8 * pattern.nnz, coloring.num_colors, note)


def casadi_way(case: Case) -> Way:
    """Its virtual machine runs over every scalar; called without a copy of x or H."""
    ca = optional("casadi")
    if case.n * case.operations > SCALARS:
        raise Skipped("the graph of all scalars would take minutes to build")
    symbol = ca.SX.sym("x", case.n)
    lower = ca.tril(ca.hessian(case.casadi(ca, symbol), symbol)[0])
    function = ca.Function("H", [symbol], [lower])
    x: Any = case.x.numpy()
    values: Any = np.zeros(lower.nnz())
    buffer, evaluate = function.buffer()
    buffer.set_arg(0, memoryview(x))
    buffer.set_res(0, memoryview(values))

    def call(_: Any = (function, buffer, x)) -> Any:  # kept alive: the evaluation refers to them
        evaluate()
        return values

    rows, columns = lower.sparsity().get_triplet()
    return Way(call, lambda values: from_entries(rows, columns, values, case), values.nbytes)


WAYS: dict[str, Callable[[Case], Way]] = {
    GRADIENT: eager_gradient,
    COMPILED_GRADIENT: compiled_gradient,
    EAGER: lambda case: on_the_band(case, compile=False),
    COMPILED: lambda case: on_the_band(case, compile=True),
    "asdex, jitted": lambda case: asdex_way(case, None),
    "asdex, jitted, chunk_size=1": lambda case: asdex_way(case, 1),
    "JAX vmap(jvp(grad)), jitted": lambda case: jax_way(case, one_by_one=False),
    "JAX map(linearize), jitted": lambda case: jax_way(case, one_by_one=True),
    "CasADi SX": casadi_way,
    "loop of double backward": loop,
    "is_grads_batched": batched,
    "replicated": replicated,
    "torch.func vmap(jvp(grad))": functional,
    "torch.func.hessian, full": full,
}
