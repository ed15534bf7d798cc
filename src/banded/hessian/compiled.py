"""Value, gradient and products as one compiled graph.

The whole of it is traced and compiled: compiling f alone and differentiating
through it fails or is wrong (pytorch #91469, #154284).
"""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from banded.hessian.data import SumOfSquares
from banded.hessian.products import Engine, Function

# All plans of a process compile one code object, each for its own function, and anew when a number that f reads changes
RECOMPILE_LIMIT = 1000
NODE = 16  # entries of a last dimension that vectors of 512 bits would have to mask: scalar loops are twice as fast
SCALAR = {"cpp.simdlen": 256}
DEAR = 16  # additions, from which a number is stored and not computed once for each probe
VIEWS = (
    "slice view reshape expand unsqueeze squeeze select t permute alias detach _unsafe_view transpose unbind getitem"
)
MADE = "full zeros full_like zeros_like ones_like new_zeros scalar_tensor clone _to_copy lift_fresh_copy"
CHEAP = "add sub rsub mul neg cat stack copy constant_pad_nd slice_backward select_backward slice_scatter where sum abs"
COMPARED = "sgn sign gt lt ge le eq ne maximum minimum clamp"
WORK = dict.fromkeys((*VIEWS.split(), *MADE.split()), 0) | dict.fromkeys((*CHEAP.split(), *COMPARED.split()), 1)
WORK["div"] = 4


def compiled(f: Function) -> Engine:
    """Reverse over reverse, all probes vectorised, compiled as one graph."""

    def whole(x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        def total(x: Tensor) -> tuple[Tensor, Tensor]:
            value = f(x)
            return value.sum(), value

        def derivative(x: Tensor) -> tuple[Tensor, Tensor]:
            both: Any = torch.func.grad_and_value(total, has_aux=True)(x)
            gradient, (_, value) = both
            return gradient, value

        parts: Any = torch.func.vjp(derivative, x, has_aux=True)
        gradient, transposed, value = parts
        products: Tensor = torch.func.vmap(lambda v: transposed(v.expand_as(x))[0])(probes)
        return value, gradient, products.movedim(0, -2)

    def gauss_newton(x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        assert isinstance(f, SumOfSquares)
        at: Any = f.at
        parts: Any = torch.func.vjp(at, x)
        r, transposed = parts

        def product(v: Tensor) -> Tensor:
            tangent: Any = torch.func.jvp(at, (x,), (v.expand_as(x),))
            result: Tensor = transposed(tangent[1])[0]
            return result

        products: Tensor = torch.func.vmap(product)(probes)
        gradient: Tensor = transposed(r)[0]
        return 0.5 * r.square().sum(-1), gradient, products.movedim(0, -2)

    run = _compile(gauss_newton if isinstance(f, SumOfSquares) else whole, _backend)

    def engine(x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.no_grad():
            value, gradient, products = run(x.detach().clone(), probes)  # f may write into its argument
        return value, gradient, products

    return engine


def compile_value(f: Callable[..., Any]) -> Callable[..., Any]:
    """Compile f alone."""
    return _compile(f, "inductor")


def _compile(function: Callable[..., Any], backend: Any) -> Callable[..., Any]:
    compile: Any = torch.compile  # whose type stubs lack recompile_limit
    run: Callable[..., Any] = compile(
        function, backend=backend, fullgraph=True, dynamic=False, recompile_limit=RECOMPILE_LIMIT
    )
    return run


def _backend(graph: GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
    """Inductor, for a graph whose values that do not depend on the probes are computed once.

    Left to itself, Inductor fuses these into the products, and computes every
    sine once for each probe. What the graph returns, it stores. What a few additions make is left to it: writing
    and reading that takes longer.
    """
    probes = [i for i, node in enumerate(_placeholders(graph)) if "probes" in node.name]
    flat = make_fx(graph)(*inputs)  # inputs carry no sizes that could change
    flat.graph.eliminate_dead_code()
    results = _expose(flat, [_placeholders(flat)[i] for i in probes])
    run: Any = torch._inductor.compile(flat, list(inputs), options=_options(flat))
    return lambda *arguments: run(*arguments)[:results]


def _options(graph: GraphModule) -> dict[str, Any]:
    """By whether most numbers lie in rows as short as a node, or in long ones."""
    short = long = 0
    for node in graph.graph.nodes:
        value = node.meta.get("val", node.meta.get("tensor_meta"))
        shape: tuple[int, ...] = tuple(getattr(value, "shape", ()))
        if len(shape) > 1 and 1 < shape[-1] < NODE:
            short += prod(shape)
        elif shape:
            long += prod(shape)
    return {"size_asserts": False, **(SCALAR if short > long else {})}


def _placeholders(graph: GraphModule) -> list[Node]:
    return [node for node in graph.graph.nodes if node.op == "placeholder"]


def _expose(graph: GraphModule, probes: list[Node]) -> int:
    """Let the graph return also what the products need of the rest, where it is dear; how many results it had."""
    depends = set(probes)
    needed: set[Node] = set()
    *inner, output = graph.graph.nodes
    for node in inner:
        if any(one in depends for one in node.all_input_nodes):
            depends.add(node)
            needed.update(one for one in node.all_input_nodes if one.op == "call_function")
    work: dict[Node, int] = {}  # to compute each from what is stored
    dear = []
    for node in (one for one in inner if one not in depends and one.op == "call_function"):
        work[node] = min(DEAR + 1, _work(node) + sum(work.get(one, 0) for one in node.all_input_nodes))
        if node in needed and work[node] > DEAR:
            dear.append(node)
            work[node] = 0
    results = tuple(output.args[0])
    output.args = (results + tuple(dear),)
    graph.recompile()
    return len(results)


def _work(node: Node) -> int:
    """Additions that one entry takes, about."""
    name = getattr(node.target, "__name__", str(node.target)).partition(".")[0]
    if name == "pow" and isinstance(node.args[1], int | float) and float(node.args[1]).is_integer():
        return 1
    return WORK.get(name, 20)  # a sine, an exponential, a matrix product, what is not known
