"""Value, gradient and Hessian-vector products of a PyTorch function. Autograd only, no indices.

An engine takes a point `(..., n)` and probes `(m, n)`, and returns the values `(...)`,
the gradients `(..., n)` and the products `(..., m, n)`, one for each probe. f
takes `(..., n)` to `(...)`, each problem of a batch by itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from banded.checks import check_residuals, check_value
from banded.hessian.data import AnyFunction, SumOfSquares, WithData

Value = TypeVar("Value")
Function = Callable[[Tensor], Tensor]
NO_GRAPH = (
    "f: expected a value that depends on x, got one that autograd cannot trace back to it; "
    "let f use its argument, and no .detach(), .item(), .numpy() or torch.tensor(x) on the way"
)
Engine = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


def batched(f: Function, rows: int) -> Engine:
    """Double backward, `rows` probes in each vectorised pass."""

    def engine(x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with _recording():
            leaves, value, gradient, source = _gradient(f, x)
            vectors = _for_each(probes, x)
            if 1 < len(probes) <= rows:
                products = _backward(source, leaves, vectors, is_grads_batched=True).detach()
            else:
                products = torch.empty(vectors.shape, dtype=x.dtype, device=x.device)
                for chunk, place in zip(torch.split(vectors, rows), torch.split(products, rows), strict=True):
                    if rows == 1:
                        place[0] = _backward(source, leaves, chunk[0])
                    else:
                        place.copy_(_backward(source, leaves, chunk, is_grads_batched=True))
        return value.detach(), gradient.detach(), products.movedim(0, -2)

    return engine


def replicated(f: Function) -> Engine:
    """Double backward through equal copies of the problem, one for each probe: where f can be vectorised."""

    def engine(x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        copies = x.detach().expand(len(probes), *x.shape)
        with _recording():
            leaves, values, gradients, sources = _gradient(over_batch(f, 1, vectorised=True), copies)
            products = _backward(sources, leaves, _for_each(probes, x))
        return values[0].detach(), gradients[0].detach(), products.detach().movedim(0, -2)

    return engine


def loop(f: Function) -> Engine:
    """Double backward, one probe after the other: slow, and works wherever PyTorch does."""
    return batched(f, rows=1)


def _for_each(probes: Tensor, x: Tensor) -> Tensor:
    """`(m, ..., n)`: the probes for every problem of a batch, which may have been given for each already."""
    if x.ndim == 1 or probes.ndim > 2:
        return probes
    return probes.reshape(len(probes), *[1] * (x.ndim - 1), -1).expand(len(probes), *x.shape)


def _backward(gradient: Tensor, leaves: Sequence[Tensor], v: Tensor, **options: Any) -> Tensor:
    """Hᵀ v, in the shape of `v`; zero where the gradient does not depend on x (the graph is that of a parameter)."""
    products = torch.autograd.grad(gradient, leaves, v, retain_graph=True, allow_unused=True, **options)
    if len(leaves) == 1:
        return torch.zeros_like(v) if products[0] is None else products[0].reshape(v.shape)
    batch = v.shape[: v.ndim - 1]
    return torch.cat([_row(one, leaf, batch) for one, leaf in zip(products, leaves, strict=True)], -1)


def _row(one: Tensor | None, leaf: Tensor, batch: torch.Size) -> Tensor:
    """A derivative with respect to a leaf as a vector `(*batch, numel)`; zero where there is none."""
    return leaf.new_zeros((*batch, leaf.numel())) if one is None else one.reshape(*batch, leaf.numel())


def over_batch(f: AnyFunction, dims: int, *, vectorised: bool) -> Function:
    """Apply f of one problem to each of those in `dims` leading dimensions."""
    if isinstance(f, SumOfSquares):
        check = partial(check_residuals, name="residuals")
        return SumOfSquares(each_over_batch(f.residuals, dims, vectorised=vectorised, check=check))
    return each_over_batch(f, dims, vectorised=vectorised, check=check_value)


def each_over_batch(
    f: Function | WithData[Tensor], dims: int, *, vectorised: bool, check: Callable[[Tensor, Tensor], None]
) -> Function:
    """The same for a function of any values, which `check` looks at where they are computed one by one."""
    if isinstance(f, WithData):
        each = f.each
        return f.vectorised(dims) if vectorised or not dims else lambda x: _stacked(each(x), x, check)
    one = f
    if dims and not vectorised:
        return lambda x: _stacked([one(vector) for vector in x.reshape(-1, x.shape[-1])], x, check)
    for _ in range(dims):
        one = torch.func.vmap(one)
    return one


def _stacked(values: list[Tensor], x: Tensor, check: Callable[[Tensor, Tensor], None]) -> Tensor:
    for value in values:
        check(value, x.reshape(-1, x.shape[-1])[0])
    return torch.stack(values).reshape(x.shape[:-1] + values[0].shape)


def value_of(f: Callable[[Tensor], Value]) -> Callable[[Tensor], Value]:
    """The function without a graph, as line searches need it."""

    def value(x: Tensor) -> Value:
        with torch.no_grad():
            result: Value = f(x.clone())  # f may write into its argument
        return result

    return value


@contextmanager
def _recording() -> Iterator[None]:
    """Record a graph whatever mode the caller is in."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


class OfLeaves(ABC):
    """A function of a vector `(n,)` that has leaves of its own to record a graph from."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """The value at `x`."""

    @abstractmethod
    def open(self, x: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """The leaves, which together hold `x`, and the value there, with its graph."""


def _gauss_newton(f: SumOfSquares, x: Tensor) -> tuple[Sequence[Tensor], Tensor, Tensor, Tensor]:
    """The same where JᵀJ stands for H: Jᵀ (r - r̄), with r̄ a constant that is equal to r, has it for a derivative."""
    leaf = x.detach().clone().requires_grad_()
    r = f.at(leaf)
    if not r.requires_grad:
        raise ValueError(NO_GRAPH)
    constant = r.detach()
    (gradient,) = torch.autograd.grad(r, leaf, constant, retain_graph=True, allow_unused=True)
    if gradient is None:
        raise ValueError(NO_GRAPH)
    (source,) = torch.autograd.grad(r, leaf, r - constant, create_graph=True)
    return (leaf,), 0.5 * constant.square().sum(-1), gradient, source


def _gradient(f: Function, x: Tensor) -> tuple[Sequence[Tensor], Tensor, Tensor, Tensor]:
    """The leaves, f, its gradient, and what has the Hessian for its derivative: the gradient attached to the graph."""
    leaves: Sequence[Tensor]
    if isinstance(f, SumOfSquares):
        return _gauss_newton(f, x)
    if isinstance(f, OfLeaves):
        leaves, value = f.open(x)
    else:
        leaves = (x.detach().clone().requires_grad_(),)
        value = f(leaves[0])
    check_value(value, x)
    gradient = None
    if value.requires_grad:
        total = value if x.ndim == 1 else value.sum()
        parts = torch.autograd.grad(total, leaves, create_graph=True, allow_unused=True)
        if any(part is not None for part in parts):
            gradient = (
                parts[0]
                if len(parts) == 1
                else torch.cat([_row(*both, torch.Size()) for both in zip(parts, leaves, strict=True)])
            )
    if gradient is None:
        raise ValueError(NO_GRAPH)
    if not gradient.requires_grad:
        raise ValueError(
            "f: expected a function with second derivatives, got one whose gradient does not depend on x "
            "(constant, linear or piecewise linear in x: its Hessian is zero); add the curved part of the loss, "
            "or solve a linear problem by linear programming"
        )
    gradient = gradient.reshape(x.shape)
    return leaves, value, gradient, gradient
