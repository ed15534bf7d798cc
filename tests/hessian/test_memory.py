"""The meter of memory, on allocations that can be counted by hand: 1000 float32 are 4000 bytes."""

import torch

from banded.hessian.memory import peak_bytes


def make(n: int = 1000) -> torch.Tensor:
    return torch.zeros(n)


def test_nothing() -> None:
    assert peak_bytes(lambda: None) == 0


def test_what_lives_at_once_adds_up() -> None:
    def both() -> torch.Tensor:
        a, b = make(), make()
        return torch.cat([a, b])

    assert peak_bytes(both) == 4 * 4000


def test_what_is_freed_does_not() -> None:
    def one_after_the_other() -> None:
        for _ in range(5):
            make()

    assert peak_bytes(one_after_the_other) == 4000


def test_precision_counts() -> None:
    assert peak_bytes(lambda: torch.zeros(1000, dtype=torch.float64)) == 8000


def test_what_was_there_before_does_not_count() -> None:
    a = make()
    assert peak_bytes(lambda: a.view(10, 100).T[1:]) == 0
    assert peak_bytes(lambda: a + 1) == 4000


def test_views_and_changes_in_place_are_free() -> None:
    def views() -> None:
        a = make()
        a.view(10, 100).T[:5].unbind()
        a.add_(1).mul_(2)
        a[3] = 4

    assert peak_bytes(views) == 4000


def test_results_written_to_a_given_tensor_are_free() -> None:
    def out() -> None:
        a = make()
        torch.cumsum(a, 0, out=a)
        torch.add(a, 1, out=a)

    assert peak_bytes(out) == 4000


def test_a_view_keeps_what_it_looks_at() -> None:
    def view() -> torch.Tensor:
        first = make()[:1]
        return first + make()

    assert peak_bytes(view) == 3 * 4000


def test_graphs_keep_what_they_need_of_tensors_that_are_gone() -> None:
    def forward() -> None:
        x = torch.zeros(1000, requires_grad=True)
        y = x.tanh().tanh().tanh()  # each result is kept for its derivative
        torch.autograd.grad(y.sum(), x)

    assert peak_bytes(forward) >= 4 * 4000


def test_several_results() -> None:
    assert peak_bytes(lambda: torch.zeros(1000).max(0, keepdim=True)) == 4000 + 4 + 8
    assert peak_bytes(lambda: torch.zeros(10, 100).sort()) == 4000 + 4000 + 8000


def test_vectorised_products_hold_all_their_rows_at_once() -> None:
    x, directions = torch.randn(100), torch.eye(100)
    gradient = torch.func.grad(lambda z: (z.sin() * z.roll(1)).sum())

    def peak(rows: int) -> int:
        one = torch.func.vmap(lambda v: torch.func.jvp(gradient, (x,), (v,))[1])
        return peak_bytes(lambda: one(directions[:rows]))

    assert 5 < peak(100) / peak(10) < 10.1
