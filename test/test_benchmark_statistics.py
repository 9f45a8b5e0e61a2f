"""Medians, quartiles and ratios."""

import numpy as np
import pytest

from fanet_ros.reports.statistics import Spread, Turns, quantile, ratio


def turns_of(*turns: list[float]) -> Turns:
    turns_ = Turns()
    for times in turns:
        turns_.add(times)
    return turns_


@pytest.mark.parametrize("share", [0, 0.1, 0.25, 0.5, 0.9, 0.99, 1])
@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_quantiles_are_numpys(share: float, count: int) -> None:
    values = np.random.default_rng(count).normal(size=count).tolist()
    assert quantile(values, share) == pytest.approx(np.quantile(values, share))


def test_spread() -> None:
    assert Spread.of([5.0, 1.0, 3.0, 2.0, 4.0]) == Spread(median=3.0, p25=2.0, p75=4.0, count=5)
    assert Spread.of([7.0]) == Spread(7.0, 7.0, 7.0, 1)


def test_turns_keep_every_time_and_the_median_of_each_turn() -> None:
    turns = turns_of([1.0, 2.0, 9.0], [4.0, 6.0])
    assert turns.times == [1.0, 2.0, 9.0, 4.0, 6.0]
    assert turns.medians == [2.0, 5.0]
    assert len(turns) == 2
    assert not Turns()


def test_a_ratio_is_that_of_the_medians_with_quartiles_over_the_turns() -> None:
    reference = turns_of([10.0, 10.0], [20.0, 20.0], [10.0, 10.0])
    contender = turns_of([5.0, 5.0], [10.0, 10.0], [2.5, 2.5])
    spread = ratio(reference, contender)
    assert spread.median == 10 / 5
    assert (spread.p25, spread.p75) == (2.0, 3.0), "of 2, 2 and 4"
    assert spread.count == 3


def test_a_slow_spell_does_not_change_the_ratios_of_the_turns() -> None:
    reference = turns_of([10.0], [50.0], [10.0])
    contender = turns_of([2.0], [10.0], [2.0])
    assert ratio(reference, contender) == Spread(5.0, 5.0, 5.0, 3)


def test_a_turn_that_only_one_had_is_left_out_of_the_quartiles() -> None:
    spread = ratio(turns_of([4.0], [4.0]), turns_of([2.0]))
    assert spread == Spread(2.0, 2.0, 2.0, 1)
