"""Which points the filter accepts (Wächter & Biegler 2006, §2.3), and what it forgets."""

import math

from banded.optimize.interior.filter import HIGH, RESETS, TRIGGER, Base, Filter


def base(theta: float, phi: float, slope: float = 1.0) -> Base:
    return Base(theta, phi, slope, 0.0)


def test_a_point_has_to_be_better_in_one_than_each_pair() -> None:
    filter_ = Filter.at(1.0)
    filter_.add(base(0.5, 3.0))
    assert filter_.allows(0.4, 5.0, 0.0)
    assert filter_.allows(0.9, 2.0, 0.0)
    assert not filter_.allows(0.6, 3.5, 0.0)
    assert not filter_.allows(1.01 * HIGH, -math.inf, 0.0)


def test_pairs_that_shorten_step_after_step_are_forgotten_a_few_times() -> None:
    filter_ = Filter.at(1.0)
    for turn in range(RESETS + 2):
        filter_.add(base(0.5, 3.0))
        for _ in range(TRIGGER):
            assert not filter_.accepts(base(0.8, 4.0), 1.0, 0.7, 3.5)  # better than where it comes from
            assert filter_.accepts(base(0.8, 4.0), 0.5, 0.4, 3.5)
        assert filter_.allows(0.7, 3.5, 0.0) == (turn < RESETS)


def test_where_the_pairs_did_not_shorten_they_stay() -> None:
    filter_ = Filter.at(1.0)
    filter_.add(base(0.5, 3.0))
    for _ in range(3 * TRIGGER):
        assert not filter_.accepts(base(0.8, 4.0), 1.0, 0.7, 3.5)
        assert not filter_.accepts(base(0.8, 4.0), 0.5, 0.9, 4.5)  # worse than where it comes from, too
        assert filter_.accepts(base(0.8, 4.0), 0.25, 0.4, 3.5)
    assert not filter_.allows(0.7, 3.5, 0.0)


def test_slopes_may_be_steeper_and_flatter_than_have_powers() -> None:
    """(-slope) ** 2.3 is beyond all floats, or zero."""
    filter_ = Filter.at(1.0)
    steep, flat = base(1e-5, 0.0, -1e150), base(1e-5, 0.0, -1e-150)
    assert steep.switches(1.0)
    assert not flat.switches(1.0)
    assert 0 < filter_.shortest(steep) < 1e-150
    assert filter_.shortest(flat) == filter_.shortest(base(1e-5, 0.0, 1.0))
