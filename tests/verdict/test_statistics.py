"""Statistics against published examples, closed forms, and simulations on fixed seeds."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.evals.simulation import KINDS, is_within_bounds, power, without_gain
from service.verdict.intervals import (
    Clusters,
    difference_interval,
    mean_interval,
    share_limit,
    t_quantile,
)
from service.verdict.significance import (
    Rule,
    detectable_difference,
    holm,
    mcnemar_exact,
    rows_needed,
    sign_flip,
)


def alone(values):
    """Each value in a cluster of its own."""
    return Clusters.group(values, range(len(values)))


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    # Table of Student (1925); in most textbooks, such as Snedecor and Cochran, table A 4.
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (19, 2.093), (120, 1.980)],
)
def test_quantiles_of_t(degrees, quantile):
    assert t_quantile(0.975, degrees) == pytest.approx(quantile, abs=5e-4)


def test_the_quantile_of_t_goes_over_into_the_normal_one():
    assert t_quantile(0.975, 1000) == pytest.approx(1.9623, abs=1e-4)
    assert t_quantile(0.975, 1001) == pytest.approx(1.9600, abs=1e-4)


@pytest.mark.parametrize(
    ("better", "worse", "p_value"),
    [
        # Bentur et al. (2009), 21 children; in Fagerland, Lydersen and Laake, BMC Medical Research
        # Methodology 13:91 (2013), table 1: exact conditional p = 0.070.
        (1, 7, 0.0703),
        # Wikipedia, "McNemar's test": exact p = 0.053.
        (6, 16, 0.0525),
        # Closed forms: 2 * 0.5^6 is the first below 0.05.
        (5, 0, 0.0625),
        (6, 0, 0.03125),
        (0, 0, 1.0),
        (3, 3, 1.0),
        (1, 0, 1.0),
    ],
)
def test_mcnemar(better, worse, p_value):
    assert mcnemar_exact(better, worse) == pytest.approx(p_value, abs=1e-4)
    assert mcnemar_exact(worse, better) == mcnemar_exact(better, worse)


def test_mcnemar_of_many_rows():
    # The normal approximation with continuity correction, which is good at this size.
    z = (5_200 - 4_800 - 1) / math.sqrt(10_000)
    assert mcnemar_exact(5_200, 4_800) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.01)


def test_sign_flips_of_darwins_maize():
    # Fisher, The Design of Experiments (1935), section 21: of 32,768 patterns, 863 have a sum of at
    # least 314, so that p = 1,726 / 32,768 = 5.267%.
    eighths_of_an_inch = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    assert sum(eighths_of_an_inch) == 314
    assert sign_flip(alone(eighths_of_an_inch)) == 1726 / 32768


@settings(deadline=None)
@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), max_size=14))
def test_sign_flips_of_binary_scores_equal_mcnemar(values):
    expected = mcnemar_exact(values.count(1.0), values.count(-1.0))
    assert sign_flip(alone(values)) == pytest.approx(expected)


def test_random_sign_flips_agree_with_the_exact_test():
    values = [1.0] * 16 + [-1.0] * 6
    assert sign_flip(alone(values)) == pytest.approx(mcnemar_exact(16, 6), abs=0.005)


def test_sign_flips_treat_a_cluster_as_a_unit():
    values = [0.5] * 30
    assert sign_flip(alone(values)) < 0.001
    assert sign_flip(Clusters.group(values, [i // 10 for i in range(30)])) == 2 / 2**3
    assert sign_flip(Clusters.group(values, [0] * 30)) == 1.0


def test_sign_flips_of_ties():
    assert sign_flip(alone([0.0] * 40)) == 1.0
    assert sign_flip(alone([0.1 + 0.2 - 0.3] * 40)) == 1.0  # equal except for rounding


def test_holm():
    # Wikipedia, "Holm-Bonferroni method": of 0.01, 0.04, 0.03 and 0.005, the first and the last are
    # rejected at 0.05. The adjusted values are those of R's p.adjust(method = "holm").
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.7, 0.9]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_ordered_and_lies_between_no_correction_and_bonferroni(p_values):
    adjusted = holm(p_values)
    for p, a in zip(p_values, adjusted, strict=True):
        assert p <= a <= min(1.0, p * len(p_values)) + 1e-12 or a == max(adjusted)
        assert p <= a <= 1
    ranks = np.argsort(p_values, kind="stable")
    assert all(np.diff(np.array(adjusted)[ranks]) >= 0)


@pytest.mark.parametrize(
    ("effect", "rows"),
    # Paired t-test, two-sided, alpha = 0.05, power = 0.8, by noncentral t: G*Power 3 (Faul,
    # Erdfelder, Lang and Buchner, Behavior Research Methods 39, 2007), for Cohen's small, medium
    # and large effects.
    [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)],
)
def test_rows_needed_by_the_paired_t_test(effect, rows):
    assert rows_needed(effect, standard_error=1 / math.sqrt(50), clusters=50, rows=50) == rows
    detectable = detectable_difference(0.1 / math.sqrt(rows), rows)
    assert detectable == pytest.approx(effect * 0.1, rel=0.05)  # the rows are rounded up


def test_rows_needed_for_a_small_difference():
    # The normal approximation, (1.960 + 0.842)^2 * (1/9) / 0.03^2 = 969 rows, is 1.92 rows less.
    n = rows_needed(0.03, standard_error=math.sqrt(1 / 9 / 100), clusters=100, rows=100)
    assert n == pytest.approx(969 + 1.92, abs=1)


def test_the_two_sides_of_power_agree():
    for rows in (10, 40, 150, 2_000):
        error = 0.3 / math.sqrt(rows)
        detectable = detectable_difference(error, rows)
        assert detectable is not None
        back = rows_needed(detectable, standard_error=error, clusters=rows, rows=rows)
        assert back == rows


def test_rows_in_clusters_are_worth_less():
    whole = rows_needed(0.05, standard_error=0.02, clusters=100, rows=100)
    clustered = rows_needed(0.05, standard_error=0.02, clusters=100, rows=300)
    assert clustered == pytest.approx(3 * whole, abs=3)


def test_six_answers_must_change_before_a_test_finds_anything():
    rule = Rule(change=1)
    # If 19.05% of answers change, then 6 or more of 40 do with a probability of 80%.
    assert detectable_difference(0.0, 40, rule) == pytest.approx(0.1905, abs=1e-3)
    assert rows_needed(0.1, standard_error=0, clusters=40, rows=40, rule=rule) == 78
    assert detectable_difference(0.0, 40, Rule(change=0.5)) == pytest.approx(0.0952, abs=1e-3)
    assert detectable_difference(0.0, 5, rule) is None
    assert detectable_difference(0.0, 40) == 0


def test_a_verdict_on_two_rivals_detects_less_than_a_test():
    one = detectable_difference(0.02, 40)
    both = detectable_difference(0.02, 40, Rule(tests=2, together=2))
    assert one is not None
    assert both is not None
    # Without the correction for small samples, (1.960 + 0.842) and (2.241 + 1.282) standard errors.
    assert both / one == pytest.approx(3.523 / 2.802, rel=0.02)


def test_a_gain_must_exceed_what_an_unseen_failure_would_cost():
    # 20 prompts may miss 16.8% of outcomes, each of which could lose 50 points.
    assert detectable_difference(0.0, 20, Rule(rival=0.5)) == pytest.approx(0.101, abs=1e-3)
    assert rows_needed(0.05, standard_error=0, clusters=20, rows=20, rule=Rule(rival=0.5)) == 39


@pytest.mark.parametrize("clusters", [0, 1, 2])
def test_too_few_clusters_detect_nothing(clusters):
    assert detectable_difference(0.1, clusters) is None
    assert detectable_difference(None, 40) is None
    assert detectable_difference(3.0, 40) is None  # more than scores can differ


def test_a_difference_of_zero_needs_infinitely_many_rows():
    with pytest.raises(ValueError, match="0"):
        rows_needed(0, standard_error=1, clusters=2, rows=2)


@pytest.mark.slow
def test_the_detectable_difference_is_detected_four_times_in_five():
    random = np.random.default_rng(3)
    rows, deviation = 40, 0.3
    true = detectable_difference(deviation / math.sqrt(rows), rows)
    assert true is not None
    samples = random.normal(true, deviation, (400, rows))
    found = sum(sign_flip(alone(sample)) <= 0.05 for sample in samples)
    assert found / 400 == pytest.approx(0.8, abs=0.05)


@pytest.mark.slow
def test_equal_columns_are_found_different_one_time_in_twenty():
    random = np.random.default_rng(4)
    samples = random.normal(0, 0.3, (400, 25))
    found = sum(sign_flip(alone(sample)) <= 0.05 for sample in samples)
    assert found / 400 == pytest.approx(0.05, abs=0.03)


def test_the_standard_error_without_clusters_is_the_usual_one():
    values = [0.1, 0.4, -0.3, 0.8, 0.25]
    assert alone(values).standard_error == pytest.approx(np.std(values, ddof=1) / math.sqrt(5))
    assert alone([0.3]).standard_error is None


def test_copies_of_rows_in_clusters_add_no_information():
    values = [0.1, 0.4, -0.3, 0.8, 0.25, 0.0, 0.6]
    three = Clusters.group(values * 3, list(range(7)) * 3)
    assert three.standard_error == pytest.approx(alone(values).standard_error)
    assert difference_interval(three, 0.5) == pytest.approx(difference_interval(alone(values), 0.5))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_intervals_cover_the_truth_and_serve_needs_a_gain(kind):
    figures = without_gain(KINDS[kind], 20, 300)
    assert is_within_bounds(20, figures), figures
    assert figures["type I error"] <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["alike", "exact"])
def test_the_detectable_gain_is_served_four_times_in_five(kind):
    """By the rules of the verdict: both rivals must be beaten, and the p-values are corrected."""
    _, detectable = power(KINDS[kind], 40, 0.3, 20)
    served, _ = power(KINDS[kind], 40, detectable, 100)
    assert served == pytest.approx(0.8, abs=0.15)


@pytest.mark.parametrize(
    ("count", "total", "limit"),
    # Clopper and Pearson, Biometrika 26 (1934); R's binom.test(2, 15)$conf.int and so on.
    [(0, 20, 0.1684), (2, 15, 0.4046), (8, 10, 0.9748), (10, 10, 1.0), (12, 1000, 0.0209)],
)
def test_limits_of_shares(count, total, limit):
    assert share_limit(count, total) == pytest.approx(limit, abs=2e-4)


def test_intervals_without_information_span_all_scores():
    one_cluster = Clusters.group([0.5, 0.6, 0.7], ["same"] * 3)
    assert difference_interval(one_cluster, 0.2) == (-1.0, 1.0)
    assert difference_interval(alone([0.5]), 0.2) == (-1.0, 1.0)
    assert mean_interval(alone([1.0])) == (0.0, 1.0)


def test_equal_differences_leave_the_doubt_about_what_was_not_seen():
    """20 prompts miss an outcome of 16.8% of all answers in one sample of 40."""
    low, high = difference_interval(alone([0.08] * 20), 0.7)
    assert low == pytest.approx(0.832 * 0.08 - 0.168 * 0.7, abs=1e-3)
    assert high == pytest.approx(0.832 * 0.08 + 0.168 * 0.3, abs=1e-3)
    assert mean_interval(alone([1.0] * 20)) == pytest.approx((0.832, 1.0), abs=1e-3)
    low, high = difference_interval(alone([0.0] * 2000), 0.5)
    assert low == pytest.approx(-high)
    assert high < 0.001


def test_the_interval_of_alike_differences_is_students():
    random = np.random.default_rng(5)
    values = random.normal(0.1, 0.2, 200)
    values = np.concatenate([values, 0.2 - values])  # without skewness
    low, high = difference_interval(alone(values), 0.5)
    half = t_quantile(0.975, 399) * values.std(ddof=1) / 20
    assert (low, high) == pytest.approx((0.1 - half, 0.1 + half))


def test_skewness_extends_the_longer_tail_only():
    values = [0.0] * 380 + [-0.8] * 20
    half = t_quantile(0.975, 399) * np.std(values, ddof=1) / 20
    low, high = difference_interval(alone(values), 0.5)
    assert high == pytest.approx(-0.04 + half)
    assert low < -0.04 - 1.1 * half


values = st.lists(st.floats(-1, 1), min_size=1, max_size=12)


@settings(deadline=None)
@given(values, st.floats(0, 1))
def test_the_interval_contains_the_mean_and_mirrors(differences, rival):
    clusters, mirrored = alone(differences), alone([-value for value in differences])
    low, high = difference_interval(clusters, rival)
    assert -1 <= low <= clusters.mean + 1e-12
    assert clusters.mean - 1e-12 <= high <= 1
    assert difference_interval(mirrored, 1 - rival) == pytest.approx((-high, -low), abs=1e-9)
