"""Solutions at other times."""

import pytest
import torch
from moves import SCHEMES, moved


@pytest.mark.parametrize("scheme", SCHEMES)
def test_samples_are_what_the_polynomials_say(scheme: str) -> None:
    solution = moved(scheme)
    t, x, u = solution.resample(57)
    torch.testing.assert_close(t, torch.linspace(0, 1, 57, dtype=torch.float64))
    torch.testing.assert_close(x, solution(t).x)
    torch.testing.assert_close(u, solution(t).u)
    same = solution.resample(grid=solution.t.tolist())
    torch.testing.assert_close(same.x, solution.x)
    torch.testing.assert_close(same.u, solution.u)


def test_controls_that_jump_have_both_values_at_a_node() -> None:
    samples = moved("midpoint").curves.sampled(3)
    assert samples.t.shape == (60,)
    assert samples.x.shape == (60, 2)
    assert samples.t[2] == pytest.approx(float(samples.t[3]))
    assert float(samples.u[8, 0]) > float(samples.u[9, 0])


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="nodes: expected at least 2, got 1"):
        moved().resample(1)
    with pytest.raises(ValueError, match="t: expected times from 0 to 1"):
        moved().resample(grid=[0, 2])
