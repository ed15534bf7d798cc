"""Solves as differentiable functions of the band, in linear time, whatever the factorisation.

The factors are constants to these functions; what they are factors of, the band, is an argument beside them.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch._C._functorch import TransformType
from torch._functorch.pyfunctorch import retrieve_all_functorch_interpreters
from torch.autograd import forward_ad

from banded.checks import check_operand
from banded.compiling import outside_graphs
from banded.factor.batched_gradients import each_at_once, is_batched

Factors = tuple[Tensor, ...]


class Method(Protocol):
    """A factorisation, as plain functions of tensors that record no graph."""

    def factor(self, band: Tensor) -> Factors:
        """The factors of A, or of a batch."""
        ...

    def substitute(self, factors: Factors, b: Tensor, transposed: bool) -> Tensor:
        """X with A x = b, or Aᵀ x = b; `b` `(..., n, c)`."""
        ...

    def times(self, band: Tensor, x: Tensor, transposed: bool) -> Tensor:
        """A x, or Aᵀ x, differentiable."""
        ...

    def outer(self, w: Tensor, x: Tensor, transposed: bool) -> Tensor:
        """d(wᵀ A x) / d(band), or of wᵀ Aᵀ x, differentiable."""
        ...


@outside_graphs
def factors_of(method: Method, band: Tensor) -> Factors:
    """The factors, under vmap as well."""
    if not is_recorded(band):
        return method.factor(band)
    found: Factors = _Factors.apply(method, band)  # type: ignore[no-untyped-call]
    return found


@outside_graphs
def solve(method: Method, band: Tensor, factors: Factors, b: Tensor, *, transposed: bool = False) -> Tensor:
    """X with A x = b for `b` `(..., n, c)`, differentiable in band and b any number of times."""
    if is_batched(b):
        return each_at_once(lambda b: _of_many(method, band, factors, b, 0, transposed=transposed).movedim(-1, 0), b)
    if not is_recorded(band, b):
        return method.substitute(factors, b, transposed)
    x: Tensor = _Solve.apply(method, transposed, band, b, *factors)  # type: ignore[no-untyped-call]
    return x


def solve_either(method: Method, band: Tensor, factors: Factors, b: Tensor, *, transposed: bool = False) -> Tensor:
    """The same for `b` `(..., n)` or `(..., n, c)`, checked.

    Raises:
        ValueError: if `b` has another length, dtype or device than the matrix.
    """
    check_operand("b", b, band, torch.Size((*band.shape[:-2], band.shape[-1])))
    if b.ndim == band.ndim:
        return solve(method, band, factors, b, transposed=transposed)
    return solve(method, band, factors, b[..., None], transposed=transposed)[..., 0]


def _of_many(method: Method, band: Tensor, factors: Factors, b: Tensor, dim: int, *, transposed: bool) -> Tensor:
    """Right-hand sides from several problems of one matrix, along `dim`; their solutions, along the last."""
    together = b.movedim(dim, -1)
    x = solve(method, band, factors, together.flatten(-2), transposed=transposed)
    return x.reshape(together.shape)


def is_recorded(*tensors: Tensor) -> bool:
    """Whether a graph is made or functions are transformed: else the detour through autograd is spared."""
    return _is_transformed() or (torch.is_grad_enabled() and any(one.requires_grad for one in tensors))


def _is_transformed() -> bool:
    """Whether torch.func or forward mode may want derivatives that no tensor shows."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def in_front(info: Any, in_dims: Sequence[int | None], tensors: Sequence[Any]) -> list[Tensor]:
    """The batch dimension of vmap as the first of every tensor."""
    return [
        one.expand(info.batch_size, *one.shape) if dim is None else one.movedim(dim, 0)
        for one, dim in zip(tensors, in_dims, strict=True)
    ]


def refuse_graph(name: str, *tensors: Tensor) -> None:
    """What has no derivative must not drop out of a loss unnoticed."""
    if torch.is_grad_enabled() and any(one.requires_grad for one in tensors):
        raise NotImplementedError(
            f"{name}: expected a matrix without a graph, for it has no derivative; A.detach() drops the graph, and "
            "A.logdet() has derivatives where A is positive definite"
        )


def refuse_transforms(name: str, *tensors: Tensor) -> None:
    """What looks into memory cannot be transformed by torch.func."""
    if any(torch._C._functorch.is_functorch_wrapped_tensor(one) for one in tensors):
        raise NotImplementedError(
            f"{name}: expected plain tensors, got some within a transformation of torch.func; "
            "call it outside, on a batch: matrices have leading batch dimensions"
        )


def refuse_nested_forward_mode() -> None:
    """Forward over forward mode drops terms in PyTorch 2.13, for `torch.linalg.solve` too (pytorch #192540)."""
    if sum(one.key() == TransformType.Jvp for one in retrieve_all_functorch_interpreters()) > 1:
        raise NotImplementedError(
            "expected at most one forward-mode derivative, got jvp or jacfwd within another, where PyTorch's own "
            "numbers are wrong; torch.func.hessian, or jacrev in place of one of them, is exact"
        )


class _Factors(torch.autograd.Function):
    @staticmethod
    def forward(method: Method, band: Tensor) -> Factors:
        return method.factor(band.detach())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Factors) -> None:
        ctx.count = len(output)
        ctx.mark_non_differentiable(*output)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], method: Method, band: Tensor) -> tuple[Factors, tuple[int, ...]]:
        factors = factors_of(method, band.movedim(in_dims[1], 0))
        return factors, (0,) * len(factors)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[None, None]:
        return None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[None, ...] | None:
        return None if ctx.count == 1 else (None,) * ctx.count


class _Solve(torch.autograd.Function):
    """x = A⁻¹ b; with w = A⁻ᵀ x̄: b̄ = w and Ā = -w xᵀ, kept on the band (Giles 2008, §2.3.1)."""

    @staticmethod
    def forward(method: Method, transposed: bool, band: Tensor, b: Tensor, *factors: Tensor) -> Tensor:
        return method.substitute(factors, b.detach(), transposed)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.method, ctx.transposed, band, _, *factors = inputs
        ctx.count = len(factors)
        if not ctx.needs_input_grad[2] and not _is_transformed():
            band = factors[0]  # autograd refuses what has been written into since, of use or not
        ctx.save_for_backward(band, output, *factors)
        ctx.save_for_forward(band, output, *factors)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        band, x, *factors = ctx.saved_tensors
        w = solve(ctx.method, band, tuple(factors), gradients[0], transposed=not ctx.transposed)
        of_band = ctx.method.outer(-w, x, ctx.transposed) if ctx.needs_input_grad[2] else None
        return None, None, of_band, w, *[None] * ctx.count

    @staticmethod
    def jvp(ctx: Any, _method: None, _transposed: None, band: Any, b: Any, *_factors: None) -> Tensor:
        refuse_nested_forward_mode()
        at, x, *factors = ctx.saved_tensors
        right = torch.zeros_like(x) if b is None else b
        if band is not None:
            right = right - ctx.method.times(band, x, ctx.transposed)
        return solve(ctx.method, at, tuple(factors), right, transposed=ctx.transposed)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], method: Method, transposed: bool, *tensors: Tensor
    ) -> tuple[Tensor, int]:
        band, b, *factors = tensors
        dims = in_dims[2:]
        if all(dim is None for i, dim in enumerate(dims) if i != 1):  # one matrix: more right-hand sides
            x = _of_many(method, band, tuple(factors), b, dims[1], transposed=transposed)
            return x, x.ndim - 1
        band, b, *factors = in_front(info, dims, tensors)
        return solve(method, band, tuple(factors), b, transposed=transposed), 0


def differentiable_under_vmap(function: Callable[..., Tensor]) -> Any:
    """The `vmap` of a function of tensors alone that takes leading batch dimensions."""

    def vmap(info: Any, in_dims: tuple[Any, ...], *tensors: Tensor) -> tuple[Tensor, int]:
        return function(*in_front(info, in_dims, tensors)), 0

    return staticmethod(vmap)
