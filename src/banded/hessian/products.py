"""Value, gradient and Hessian-vector products of a PyTorch function. Autograd only, no indices.

An engine takes a point `(n,)` and probes `(m, n)`, and returns the value `()`,
the gradient `(n,)` and the products `(m, n)`, one for each probe.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

from banded.checks import check_value

Value = TypeVar("Value")
Function = Callable[[Tensor], Tensor]
Engine = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]

# Entries of the tangents that one batched backward pass carries along (16 MB in
# float64); the pass holds this times the number of operations in f.
BATCH_ENTRIES = 2**21

# All plans of a process compile one code object, each for its own function, and anew when a number that f reads changes
RECOMPILE_LIMIT = 1000


def batched(f: Function) -> Engine:
    """Double backward, all probes in one vectorised pass."""

    def engine(x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows = max(1, BATCH_ENTRIES // x.numel())
        with _recording():
            x, value, gradient = _gradient(f, x)
            products = [_backward(gradient, x, chunk, is_grads_batched=True) for chunk in torch.split(probes, rows)]
        whole = products[0] if len(products) == 1 else torch.cat(products)
        return value.detach(), gradient.detach(), whole.detach()

    return engine


def loop(f: Function) -> Engine:
    """Double backward, one probe after the other: slow, and works wherever PyTorch does."""

    def engine(x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with _recording():
            x, value, gradient = _gradient(f, x)
            products = [_backward(gradient, x, v) for v in probes]
        return value.detach(), gradient.detach(), torch.stack(products).detach()

    return engine


def _backward(gradient: Tensor, x: Tensor, v: Tensor, **options: Any) -> Tensor:
    """Hᵀ v, in the shape of `v`; zero where the gradient does not depend on x (the graph is that of a parameter)."""
    (product,) = torch.autograd.grad(gradient, x, v, retain_graph=True, allow_unused=True, **options)
    return torch.zeros_like(v) if product is None else product


def compiled(f: Function) -> Engine:
    """Forward over reverse, all probes vectorised, the whole of it compiled as one graph.

    Compiling f alone and differentiating through it fails or is wrong
    (pytorch #91469, #154284), so nothing is left outside the graph.
    """

    def whole(x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        derivative: Any = torch.func.grad_and_value(f)

        def product(v: Tensor) -> Tensor:
            tangents: Any = torch.func.jvp(derivative, (x,), (v,))[1]
            of_gradient: Tensor = tangents[0]
            return of_gradient

        gradient, value = derivative(x)
        return value, gradient, torch.func.vmap(product)(probes)

    run = _compile(whole)

    def engine(x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.no_grad():
            value, gradient, products = run(x.detach(), probes)
        return value, gradient, products

    return engine


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    compile: Any = torch.compile  # whose type stubs lack recompile_limit
    run: Callable[..., Any] = compile(function, fullgraph=True, dynamic=False, recompile_limit=RECOMPILE_LIMIT)
    return run


def value_of(f: Callable[[Tensor], Value], *, compile: bool = False) -> Callable[[Tensor], Value]:
    """The function without a graph, as line searches need it."""
    run = _compile(f) if compile else f

    def value(x: Tensor) -> Value:
        with torch.no_grad():
            result: Value = run(x.clone())  # f may write into its argument
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
        (gradient,) = torch.autograd.grad(value, x, create_graph=True, allow_unused=True)
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
