import inspect

import numpy as np
import pytest
import torch

from banded.problems import PROBLEMS

ANY_SIZE = ("cartpole", "chain", "rosenbrock")  # for the others, see problems/


@pytest.mark.parametrize("name", ANY_SIZE)
@pytest.mark.parametrize("nodes", [2, 3, 17])
def test_every_problem_can_be_solved_at_any_size(name: str, nodes: int) -> None:
    problem = PROBLEMS[name](nodes)
    result = problem.solve(progress=False)
    assert result.success
    assert len({len(column) for column in problem.series(result.x).values()}) <= 1
    assert problem.title


@pytest.mark.parametrize("name", ANY_SIZE)
@pytest.mark.parametrize("nodes", [1, 0, -3])
def test_too_few_nodes(name: str, nodes: int) -> None:
    with pytest.raises(ValueError, match="nodes: expected at least 2"):
        PROBLEMS[name](nodes)


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_problem_has_a_default_size(name: str) -> None:
    nodes, *others = inspect.signature(PROBLEMS[name]).parameters.values()
    assert nodes.name == "nodes"
    assert all(other.default is not other.empty for other in others)
    assert PROBLEMS[name]().start.dtype == torch.float64


@pytest.mark.parametrize("n", [2, 12, 101])
def test_chain_reaches_its_exact_energy(n: int) -> None:
    result = PROBLEMS["chain"](n).solve()
    m = n // 3
    x = [(j + 1) * (n - m) / (n + 1) if j <= m else (m + 1) * (n - j) / (n + 1) for j in range(n)]
    np.testing.assert_allclose(result.x, x, rtol=1e-9)
    assert result.value == pytest.approx(-0.5 * (m + 1) * (n - m) / (n + 1), rel=1e-12)


def test_cartpole_in_the_words_of_its_definition() -> None:
    """Cost and residuals once more, node by node."""
    nodes, dt = 7, 10 / 7
    problem = PROBLEMS["cartpole"](nodes)
    assert problem.equality is not None
    z = torch.randn(nodes - 1, 5, dtype=torch.float64)
    cost = 0.0
    residuals = []
    before = np.zeros(5)
    for i in range(1, nodes):
        here = z[i - 1].numpy()
        f, theta = here[0], here[3]
        cost += 0.1 * (here**2).sum() + (theta - np.pi) ** 2 * i / nodes + 0.5 * f**2
        _, _, vm, tm, om = (here + before) / 2
        rates = np.array([vm, f, om, -np.sin(tm) + f * np.cos(tm)])
        residuals.append((here[1:] - before[1:]) / dt - rates)
        before = here
    assert float(problem.objective(z)) == pytest.approx(cost, rel=1e-13)
    np.testing.assert_allclose(problem.equality(z), residuals, rtol=1e-12, atol=1e-12)
