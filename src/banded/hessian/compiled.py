"""Value, gradient and products as one compiled graph.

The whole of it is traced and compiled: compiling f alone and differentiating
through it fails or is wrong (pytorch #91469, #154284).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from banded.hessian.products import Engine, Function

# All plans of a process compile one code object, each for its own function, and anew when a number that f reads changes
RECOMPILE_LIMIT = 1000
# Vectors of 512 bits make the compiler's loops over the few unknowns of a node slower by half than ones of 256
OPTIONS = {"cpp.simdlen": 256, "size_asserts": False}


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

    run = _compile(whole, _backend)

    def engine(x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.no_grad():
            value, gradient, products = run(x.detach(), probes)
        return value, gradient, products

    return engine


def compile_value(f: Callable[..., Any]) -> Callable[..., Any]:
    """Compile f alone."""
    return _compile(f, "inductor")


def _compile(function: Callable[..., Any], backend: Any) -> Callable[..., Any]:
    compile: Any = torch.compile  # whose type stubs lack recompile_limit
    options = {"options": OPTIONS} if backend == "inductor" else {}
    run: Callable[..., Any] = compile(
        function, backend=backend, fullgraph=True, dynamic=False, recompile_limit=RECOMPILE_LIMIT, **options
    )
    return run


def _backend(graph: GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
    """Inductor, for a graph whose values that do not depend on the probes are computed once.

    Left to itself, Inductor fuses these into the products, and computes every
    sine once for each probe. What the graph returns, it stores.
    """
    probes = [i for i, node in enumerate(_placeholders(graph)) if "probes" in node.name]
    flat = make_fx(graph, tracing_mode="fake", _allow_non_fake_inputs=True)(*inputs)
    flat.graph.eliminate_dead_code()
    results = _expose(flat, [_placeholders(flat)[i] for i in probes])
    run: Any = torch._inductor.compile(flat, list(inputs), options=OPTIONS)
    return lambda *arguments: run(*arguments)[:results]


def _placeholders(graph: GraphModule) -> list[Node]:
    return [node for node in graph.graph.nodes if node.op == "placeholder"]


def _expose(graph: GraphModule, probes: list[Node]) -> int:
    """Let the graph return also what the products need of the rest; how many results it had."""
    depends = set(probes)
    shared: dict[Node, None] = {}
    *inner, output = graph.graph.nodes
    for node in inner:
        if any(one in depends for one in node.all_input_nodes):
            depends.add(node)
            shared.update({one: None for one in node.all_input_nodes if one.op == "call_function"})
    results = tuple(output.args[0])
    output.args = (results + tuple(node for node in shared if node not in depends),)
    graph.recompile()
    return len(results)
