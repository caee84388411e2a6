import pytest

from tests.lazy import Lazy

plan = Lazy("service.training.loop.plan")


@pytest.mark.parametrize("total", [1, 2, 12, 42, 1000])
def test_the_rate_rises_shortly_then_falls_and_is_never_0_within_the_run(total):
    rates = [plan.rate_factor(step, total) for step in range(total)]
    assert all(0 < rate <= 1 for rate in rates)
    peak = rates.index(max(rates))
    assert peak <= max(2, 0.04 * total)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    if total > 10:
        assert max(rates) == 1
        assert rates[-1] < 0.05
