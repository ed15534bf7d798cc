"""Value, gradient and Hessian-vector products of a PyTorch function. Autograd only, no indices.

An engine takes a point `(..., n)` and probes `(m, n)`, and returns the values `(...)`,
the gradients `(..., n)` and the products `(..., m, n)`, one for each probe. f
takes `(..., n)` to `(...)`, each problem of a batch by itself.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

from banded.checks import check_value
from banded.hessian.data import WithData

Value = TypeVar("Value")
Function = Callable[[Tensor], Tensor]
Engine = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


def batched(f: Function, rows: int) -> Engine:
    """Double backward, `rows` probes in each vectorised pass."""

    def engine(x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with _recording():
            x, value, gradient = _gradient(f, x)
            vectors = _for_each(probes, x)
            if 1 < len(probes) <= rows:
                products = _backward(gradient, x, vectors, is_grads_batched=True).detach()
            else:
                products = torch.empty(vectors.shape, dtype=x.dtype, device=x.device)
                for chunk, place in zip(torch.split(vectors, rows), torch.split(products, rows), strict=True):
                    if rows == 1:
                        place[0] = _backward(gradient, x, chunk[0])
                    else:
                        place.copy_(_backward(gradient, x, chunk, is_grads_batched=True))
        return value.detach(), gradient.detach(), products.movedim(0, -2)

    return engine


def replicated(f: Function) -> Engine:
    """Double backward through equal copies of the problem, one for each probe: where f can be vectorised."""

    def engine(x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        copies = x.detach().expand(len(probes), *x.shape)
        with _recording():
            copies, values, gradients = _gradient(torch.func.vmap(f), copies)
            products = _backward(gradients, copies, _for_each(probes, x))
        return values[0].detach(), gradients[0].detach(), products.detach().movedim(0, -2)

    return engine


def loop(f: Function) -> Engine:
    """Double backward, one probe after the other: slow, and works wherever PyTorch does."""
    return batched(f, rows=1)


def _for_each(probes: Tensor, x: Tensor) -> Tensor:
    """`(m, ..., n)`: the probes for every problem of a batch."""
    if x.ndim == 1:
        return probes
    return probes.reshape(len(probes), *[1] * (x.ndim - 1), -1).expand(len(probes), *x.shape)


def _backward(gradient: Tensor, x: Tensor, v: Tensor, **options: Any) -> Tensor:
    """Hᵀ v, in the shape of `v`; zero where the gradient does not depend on x (the graph is that of a parameter)."""
    (product,) = torch.autograd.grad(gradient, x, v, retain_graph=True, allow_unused=True, **options)
    return torch.zeros_like(v) if product is None else product


def over_batch(f: Function | WithData[Tensor], dims: int, *, vectorised: bool) -> Function:
    """Apply f of one problem to each of those in `dims` leading dimensions."""
    if isinstance(f, WithData):
        each = f.each
        return f.vectorised(dims) if vectorised or not dims else lambda x: _stacked(each(x), x)
    one = f
    if dims and not vectorised:
        return lambda x: _stacked([one(vector) for vector in x.reshape(-1, x.shape[-1])], x)
    for _ in range(dims):
        one = torch.func.vmap(one)
    return one


def _stacked(values: list[Tensor], x: Tensor) -> Tensor:
    for value in values:
        check_value(value, x.reshape(-1, x.shape[-1])[0])
    return torch.stack(values).reshape(x.shape[:-1])


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


def _gradient(f: Function, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The leaf, f and its gradient, still attached to the graph."""
    x = x.detach().clone().requires_grad_()
    value = f(x)
    check_value(value, x)
    gradient = None
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(
            value if x.ndim == 1 else value.sum(), x, create_graph=True, allow_unused=True
        )
    if gradient is None:
        raise ValueError(
            "f: expected a value that depends on x, got one that autograd cannot trace back to it; "
            "let f use its argument, and no .detach(), .item(), .numpy() or torch.tensor(x) on the way"
        )
    if not gradient.requires_grad:
        raise ValueError(
            "f: expected a function with second derivatives, got one whose gradient does not depend on x "
            "(constant, linear or piecewise linear in x: its Hessian is zero); add the curved part of the loss, "
            "or solve a linear problem by linear programming"
        )
    return x, value, gradient
