"""The checker for users: how exact a plan is, measured."""

from dataclasses import dataclass

import torch
from torch import Tensor

from banded.compiling import outside_graphs
from banded.hessian.layout import Tree
from banded.hessian.plan import Plan
from banded.hessian.probes import gaussian
from banded.hessian.products import loop, over_batch
from banded.hessian.verify import Witness
from banded.matrix import Symmetric

DENSE = 10_000  # unknowns up to which all products are made
CHUNK = 256  # of these at a time
TINY = 1e-30  # in place of an empty row


@dataclass(frozen=True)
class Report:
    """What `verify` has measured; true where nothing is amiss.

    Attributes:
        products: how many of the plainest engine the plan was held against.
        error: the largest difference in an entry of them, relative to |H| |v| in its row, and so in units of the
            entries of H.
        noise: the same, of the function's own rounding errors, as far as they had to be measured; else 0.
        leak: the largest entry of (H - plan's H) v that rounding does not explain, in the units of H; or 0.
        value_error: relative difference of f.
        gradient_error: largest difference of the gradient, relative to its largest entry.
        gap: how far redundant equations of the recovery disagree, relative to sqrt(|H_ii H_jj|); None without any.
        repeatable: whether f gives the same derivatives at the same x.
        eps: of the dtype.
        dense: whether all entries were compared, and not random combinations of them.
    """

    products: int
    error: float
    noise: float
    leak: float
    value_error: float
    gradient_error: float
    gap: float | None
    repeatable: bool
    eps: float
    dense: bool

    @property
    def ok(self) -> bool:
        """Whether the plan is as exact as rounding allows."""
        exact = self.value_error <= self.eps**0.5 and self.gradient_error <= self.eps**0.5  # NaN is neither
        return self.repeatable and not self.leak and exact

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        how = "all entries" if self.dense else f"{self.products} random products"
        words = [f"H off by {self.error:.1e} of its rows ({self.error / self.eps:.3g} eps), {how}"]
        if self.noise:
            words.append(f"f itself rounds away {self.noise:.1e}")
        if self.gap is not None:
            words.append(f"redundant equations off by {self.gap:.1e}")
        words.append(f"gradient by {self.gradient_error:.1e}, value by {self.value_error:.1e}")
        if not self.repeatable:
            words.append("f CHANGES from one evaluation to the next: keep random numbers and state outside it")
        elif self.leak:
            words.append(f"a LEAK of {self.leak:.3g}: f has entries that the plan does not expect; make it anew here")
        return f"{'exact' if self.ok else 'WRONG'}: " + "; ".join(words)


@outside_graphs
def verify(plan: Plan, x: Tree | None = None, *, products: int = 4, dense: bool = False, seed: int = 0) -> Report:
    """Measure how exact a plan is at `x`, against products that it had no part in.

    The products come from the plainest engine, with random vectors.

    Args:
        plan: made by `plan`.
        x: a point like the one that the plan was made for; that one if None.
        products: how many.
        dense: compare all entries, by one product for each unknown: for small problems.
        seed: of the random vectors.

    Raises:
        ValueError: if `x` does not fit the plan, `products` < 1, or `dense` is asked of too many unknowns.
    """
    if not isinstance(plan, Plan):
        raise TypeError(f"plan: expected a Plan, as banded.plan(f, x) makes, got {type(plan).__name__}")
    if products < 1:
        raise ValueError(f"products: expected at least one, got {products}")
    if dense and plan.n > DENSE:
        raise ValueError(f"dense: expected at most {DENSE} unknowns, got {plan.n}; use random products")
    point = (plan.x if x is None else plan.flatten(x)).detach()
    plain = loop(over_batch(plan.of_vector, point.ndim - 1, vectorised=False))
    generator = torch.Generator().manual_seed(seed)
    probes = torch.stack([gaussian(plan.n, point, generator) for _ in range(products)])
    value, gradient, shown = plain(point, probes)
    mine_value, mine_gradient, H = plan.evaluate(point)
    witnesses = [Witness(lambda at, v: plain(at, v)[2], point, v, shown[..., i, :]) for i, v in enumerate(probes)]
    error, leak = max(witness.error(H) for witness in witnesses), max(witness.leak(H) for witness in witnesses)
    if dense:
        error, leak = _entries(witnesses[0], H)
        products = plan.n
    amiss = any(witness.is_doubtful(H) for witness in witnesses)
    return Report(
        products=products,
        error=error,
        noise=float((witnesses[0].noise(H) / H.row_sums().clamp(min=TINY)).max()) if amiss else 0.0,
        leak=leak,
        value_error=_relative(mine_value, value),
        gradient_error=_relative(mine_gradient, gradient),
        gap=plan.gap(point),
        repeatable=witnesses[0].repeatable,
        eps=torch.finfo(point.dtype).eps,
        dense=dense,
    )


def _entries(witness: Witness, H: Symmetric) -> tuple[float, float]:
    """Largest error of an entry relative to sqrt(Σ|H_i·| Σ|H_j·|), and the largest that rounding does not explain."""
    n = H.n
    size = H.row_sums().clamp(min=TINY).sqrt()
    error = leak = 0.0
    for first in range(0, n, CHUNK):
        columns = torch.arange(first, min(first + CHUNK, n), device=H.device)
        unit = torch.zeros(len(columns), n, dtype=H.dtype, device=H.device)
        unit[torch.arange(len(columns)), columns] = 1
        shown = witness.products(witness.x, unit)
        difference = (shown - H[columns[:, None], torch.arange(n, device=H.device)]).abs()
        relative = difference / (size[..., columns, None] * size[..., None, :])
        error = max(error, float(relative.max()))
        outside = relative > torch.finfo(H.dtype).eps ** (2 / 3)
        if bool(outside.any()) and witness.repeatable:
            noise = witness.noise(H)
            outside &= ~(difference <= 10 * noise[..., None, :])
        leak = max(leak, float(difference[outside].max()) if bool(outside.any()) else 0.0)
    return error, leak


def _relative(mine: Tensor, other: Tensor) -> float:
    size = float(other.abs().max())
    return float((mine - other).abs().max()) / (size or 1.0)
