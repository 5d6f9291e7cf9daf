"""Comparisons against scipy, scikit-learn, hand calculation and slow scripts of the same formulas."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, t
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from semiretina.scoring.bootstrap import resamples
from semiretina.scoring.comparisons import best_case, delong, holm, mcnemar, paired_difference
from semiretina.scoring.intervals import group_numbers

DRAWS = 30


def alone(n):
    return [f"patient {i}" for i in range(n)]


def study(seed, seeds=4, patients=40, gain=0.0, ties=False):
    """Labels, ours, theirs [s, n] and two eyes a patient."""
    draw = np.random.default_rng(seed)
    labels = np.repeat(draw.integers(0, 2, patients), 2)
    labels[:4] = [0, 1, 1, 0]
    groups = np.repeat(alone(patients), 2)
    shared = draw.normal(size=2 * patients) + np.repeat(draw.normal(size=patients), 2)
    ours, theirs = (
        shared + labels * (1 + effect) + 0.5 * draw.normal(size=(seeds, 2 * patients)) for effect in (gain, 0.0)
    )
    answers = [1 / (1 + np.exp(-side)) for side in (ours, theirs)]
    return labels, *(np.round(side, 1) if ties else side for side in answers), groups


# McNemar, and the paper's table 2


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_the_binomial_test_of_the_disagreements(gained, lost):
    ours = np.array([1] * gained + [0] * lost + [1, 0])
    theirs = np.array([0] * gained + [1] * lost + [1, 0])
    found = mcnemar(np.ones(len(ours)), ours, theirs)
    assert (found.gained, found.lost) == (gained, lost)
    expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert found.p == pytest.approx(expected, abs=1e-12)


def test_mcnemar_counts_right_answers_and_not_yeses():
    # Ours alone right on photographs 0 and 2, theirs alone on 3.
    found = mcnemar([0, 1, 1, 0], [0, 1, 1, 1], [1, 1, 0, 0])
    assert (found.gained, found.lost) == (2, 1)


# Accuracies of table 2 in photographs of 238: 74.79 and 76.47 %, 86.97 and 89.08 %.
@pytest.mark.parametrize(
    ("before", "after", "least", "accuracies"),
    [(178, 182, 0.125, (74.79, 76.47)), (207, 212, 0.0625, (86.97, 89.08))],
)
def test_no_gain_of_table_2_could_be_significant(before, after, least, accuracies):
    photographs = np.arange(238)
    assert (round(100 * before / 238, 2), round(100 * after / 238, 2)) == accuracies
    # The best case: ours has every photograph right that theirs has.
    found = mcnemar(np.ones(238), photographs < after, photographs < before)
    assert found.p == least == best_case(after - before)
    for lost in (1, 5, 20):
        ours = (photographs >= lost) & (photographs < after + lost)
        assert mcnemar(np.ones(238), ours, photographs < before).p > least


def test_a_gain_of_nothing_or_one_has_p_1():
    assert best_case(0) == best_case(1) == 1
    assert best_case(6) == pytest.approx(binomtest(6, 6).pvalue)


# Paired DeLong


def slow_delong(labels, ours, theirs, groups):
    """Obuchowski 1997 for two areas, as printed: every component of the 2 x 2 covariance, pair by pair."""
    labels, groups = np.asarray(labels), np.asarray(groups)
    gx, gy = groups[labels == 1], groups[labels == 0]
    m, n, names = len(gx), len(gy), sorted(set(groups))
    areas, tens, ones = [], [], []
    for scores in (np.asarray(ours), np.asarray(theirs)):
        x, y = scores[labels == 1], scores[labels == 0]
        wins = np.array([[1.0 if a > b else 0.5 if a == b else 0.0 for b in y] for a in x])
        area = wins.mean()
        areas.append(area)
        tens.append([sum(wins[i].mean() - area for i in range(m) if gx[i] == name) for name in names])
        ones.append([sum(wins[:, j].mean() - area for j in range(n) if gy[j] == name) for name in names])
    i10, i01, clusters = len(set(gx)), len(set(gy)), len(names)
    covariance = np.zeros((2, 2))
    for r, s in itertools.product(range(2), repeat=2):
        s10 = i10 / ((i10 - 1) * m) * sum(a * b for a, b in zip(tens[r], tens[s], strict=True))
        s01 = i01 / ((i01 - 1) * n) * sum(a * b for a, b in zip(ones[r], ones[s], strict=True))
        s11 = clusters / (clusters - 1) * sum(a * b for a, b in zip(tens[r], ones[s], strict=True))
        s11_turned = clusters / (clusters - 1) * sum(a * b for a, b in zip(tens[s], ones[r], strict=True))
        covariance[r, s] = s10 / m + s01 / n + (s11 + s11_turned) / (m * n)
    return areas[0] - areas[1], covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 2, 5]), st.booleans())
def test_delong_against_a_pair_by_pair_script(seed, patient_size, ties):
    labels, ours, theirs, _ = study(seed, seeds=1, patients=20, gain=0.5, ties=ties)
    groups = np.array([f"p{i // patient_size}" for i in range(len(labels))])
    value, variance = slow_delong(labels, ours[0], theirs[0], groups)
    found = delong(labels, ours[0], theirs[0], groups)
    assert found.value == pytest.approx(value, abs=1e-10)
    if variance > 1e-12:
        assert found.error == pytest.approx(math.sqrt(variance), abs=1e-10)
        assert found.p == pytest.approx(2 * norm.sf(abs(value) / math.sqrt(variance)), abs=1e-10)
        half = norm.isf(0.025) * math.sqrt(variance)
        assert (found.low, found.high) == pytest.approx((value - half, value + half), abs=1e-10)


def test_one_photograph_a_patient_is_the_delong_of_1988():
    # By numpy's covariances of the structural components, which divide by the count - 1.
    labels, ours, theirs, _ = study(3, seeds=1)
    wins = [(p[labels == 1][:, None] > p[labels == 0]).astype(float) for p in (ours[0], theirs[0])]
    s10, s01 = (np.cov([w.mean(axis=axis) for w in wins]) for axis in (1, 0))
    covariance = s10 / (labels == 1).sum() + s01 / (labels == 0).sum()
    found = delong(labels, ours[0], theirs[0], alone(len(labels)))
    assert found.error**2 == pytest.approx(np.array([1, -1]) @ covariance @ np.array([1, -1]), abs=1e-12)


def test_the_areas_of_equal_or_one_sided_answers_have_no_interval():
    labels, ours, _, groups = study(0, seeds=1)
    same = delong(labels, ours[0], ours[0], groups)
    assert same.value == 0
    assert math.isnan(same.p)
    assert math.isnan(delong(np.ones(80), ours[0], ours[0], groups).value)
    one_patient = delong([1, 1, 0, 0], [0.9, 0.2, 0.3, 0.1], [0.9, 0.8, 0.3, 0.1], ["a", "a", "b", "c"])
    assert one_patient.value == pytest.approx(-0.25)
    assert math.isnan(one_patient.low)


# The paired difference over seeds and patients

SLOW = {
    "auroc": lambda y, p, w: roc_auc_score(y, p, sample_weight=w),
    "accuracy": lambda y, a, w: np.average(a == y, weights=w),
    "quadratic_kappa": lambda y, a, w: cohen_kappa_score(y, a, weights="quadratic", sample_weight=w),
}


def answers_of(score, probabilities):
    return {
        "auroc": probabilities,
        "accuracy": (probabilities >= 0.5) * 1,
        "quadratic_kappa": (3 * probabilities).astype(int),
    }[score]


def grades_of(score, labels, draw):
    return labels * draw.integers(1, 3, len(labels)) if score == "quadratic_kappa" else labels


@pytest.mark.parametrize("score", SLOW)
@pytest.mark.parametrize("seed", [1, 2])
def test_against_a_loop_over_every_resample_of_seeds_and_patients(score, seed):
    labels, ours, theirs, groups = study(seed, seeds=3, gain=0.6)
    labels = grades_of(score, labels, np.random.default_rng(seed))
    a, b = answers_of(score, ours), answers_of(score, theirs)
    found = paired_difference(score, labels, a, b, groups, count=DRAWS)
    weights = np.concatenate(list(resamples(group_numbers(groups), "paired difference", count=DRAWS)))
    assert weights.shape == (DRAWS, len(labels))

    def slow(w):
        return [SLOW[score](labels, x, w) - SLOW[score](labels, y, w) for x, y in zip(a, b, strict=True)]

    observed, drawn = np.array(slow(None)), np.array([slow(w) for w in weights])
    # All 27 ways to draw three seeds with replacement, each with every resample of patients.
    every = np.array(list(itertools.product(range(3), repeat=3)))
    crossed = drawn[:, every].mean(axis=2).var()
    patients = drawn.mean(axis=1).var()
    seeds_of_the_resamples = drawn.mean(axis=0)[every].mean(axis=1).var()
    interaction = (crossed - patients - seeds_of_the_resamples) * 3 / 2
    seeds = observed[every].mean(axis=1).var() * 3 / 2
    count = len(set(groups))
    if score == "auroc":  # as many as the rarer class has
        count = min(len(set(groups[labels == 1])), len(set(groups[labels == 0])))
    patients, interaction = patients * count / (count - 1), interaction * count / (count - 1)
    seeds, patients = max(seeds, interaction), max(patients, interaction)
    variance = seeds + patients - interaction
    df = variance**2 / (seeds**2 / 2 + patients**2 / (count - 1))
    assert found.value == pytest.approx(observed.mean(), abs=1e-12)
    assert found.error == pytest.approx(math.sqrt(variance), rel=1e-9)
    assert found.df == pytest.approx(df, rel=1e-8)
    half = max(t.ppf(0.975, df) * math.sqrt(variance), t.ppf(0.975, 2) * math.sqrt(seeds - interaction))
    assert (found.low, found.high) == pytest.approx((observed.mean() - half, observed.mean() + half), rel=1e-8)
    assert (found.seeds, found.groups) == (3, 40)


def test_accuracies_have_the_variance_of_a_two_way_table():
    # Accuracy is a plain mean of a seeds x patients table, so that its components are known: Cornfield, Tukey 1956.
    draw = np.random.default_rng(5)
    seeds, patients = 4, 150
    table = draw.integers(-1, 2, (seeds, patients)) + draw.integers(0, 2, patients)
    labels = np.ones(patients, int)
    ours, theirs = (table > 0) * 1, (table < 0) * 1
    apart = ours - theirs
    rows, columns = apart.mean(axis=1), apart.mean(axis=0)
    rest = apart - rows[:, None] - columns + apart.mean()
    of_seeds = rows.var(ddof=1) / seeds
    of_patients = columns.var(ddof=1) / patients
    of_both = np.square(rest).sum() / ((seeds - 1) * (patients - 1)) / (seeds * patients)
    expected = max(of_seeds, of_both) + max(of_patients, of_both) - of_both
    found = paired_difference("accuracy", labels, ours, theirs, alone(patients), count=20_000)
    assert found.error**2 == pytest.approx(expected, rel=0.03)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(list(SLOW)), st.integers(1, 5))
def test_swapping_the_methods_negates(seed, score, seeds):
    labels, ours, theirs, groups = study(seed, seeds=seeds, patients=15)
    a, b = answers_of(score, ours), answers_of(score, theirs)
    one = paired_difference(score, labels, a, b, groups, count=50)
    other = paired_difference(score, labels, b, a, groups, count=50)
    assert other.value == pytest.approx(-one.value, abs=1e-12)
    assert (other.low, other.high, other.p) == pytest.approx((-one.high, -one.low, one.p), abs=1e-9, nan_ok=True)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 2), st.integers(2, 6))
def test_the_p_value_and_the_intervals_agree(seed, gain, seeds):
    labels, ours, theirs, groups = study(seed, seeds=seeds, gain=gain)
    found = paired_difference("auroc", labels, ours, theirs, groups, count=50)
    assert (found.p <= 0.05) == (not found.low <= 0 <= found.high)
    low, high = found.interval(1 - found.p)
    assert min(abs(low), abs(high)) == pytest.approx(0, abs=1e-6)


def test_two_seeds_that_decide_are_judged_by_their_own_spread():
    # 400 patients agree within each seed; the seeds gain 0.10 and 0.04: a t test of two numbers, mean 0.07, error 0.03.
    labels = np.ones(400, int)
    theirs = np.zeros((2, 400), int)
    ours = (np.arange(400) < np.array([[40], [16]])).astype(int)
    found = paired_difference("accuracy", labels, ours, theirs, alone(400), count=4000)
    # By hand: of the 400 patients 16 gain in both seeds and 24 in one, so that of the means' variance over patients
    # 16 x 1 + 24 / 4 = 22 stands for the sum of squares, and 24 x 2 / 4 = 12 for what is a seed's own.
    of_seeds = 0.03**2
    of_patients = (22 / 400 - 0.07**2) / 399
    of_both = (12 / 400 - 2 * 0.03**2) / 399 / 2
    assert found.value == pytest.approx(0.07)
    assert found.error**2 == pytest.approx(of_seeds + of_patients - of_both, rel=0.02)
    assert found.seed_error**2 == pytest.approx(of_seeds - of_both, rel=0.01)
    alone_by_seeds = t.ppf(0.975, 1) * found.seed_error
    assert alone_by_seeds > t.ppf(0.975, found.df) * found.error
    assert (found.low, found.high) == pytest.approx((0.07 - alone_by_seeds, 0.07 + alone_by_seeds))
    assert found.p == pytest.approx(2 * t.sf(0.07 / found.seed_error, 1))


def test_with_one_seed_no_part_of_the_error_is_that_of_seeds():
    labels, ours, theirs, groups = study(12, seeds=1)
    a, b = answers_of("accuracy", ours), answers_of("accuracy", theirs)
    assert paired_difference("accuracy", labels, a, b, groups).seed_error == 0
    assert paired_difference("auroc", labels, ours, theirs, groups).seed_error == 0


def test_the_order_of_seeds_does_not_matter_but_their_pairing_does():
    labels, ours, theirs, groups = study(4)
    draw = np.random.default_rng(0)
    common = draw.normal(size=(4, 1)) * labels  # what a seed does to both methods
    ours, theirs = ours + common, theirs + common
    straight = paired_difference("auroc", labels, ours, theirs, groups, count=DRAWS)
    turned = paired_difference("auroc", labels, ours[::-1], theirs[::-1], groups, count=DRAWS)
    crossed = paired_difference("auroc", labels, ours, theirs[::-1], groups, count=DRAWS)
    assert (turned.value, turned.error) == pytest.approx((straight.value, straight.error))
    assert crossed.value == pytest.approx(straight.value)
    assert crossed.error > straight.error


def test_the_same_question_has_the_same_answer_twice():
    labels, ours, theirs, groups = study(6)
    assert paired_difference("auroc", labels, ours, theirs, groups) == paired_difference(
        "auroc", labels, ours, theirs, group_numbers(groups)
    )


def test_one_seed_is_delong_or_patients_alone():
    labels, ours, theirs, groups = study(7, seeds=1)
    assert paired_difference("auroc", labels, ours, theirs, groups) == delong(labels, ours[0], theirs[0], groups)
    a, b = answers_of("accuracy", ours), answers_of("accuracy", theirs)
    found = paired_difference("accuracy", labels, a, b, alone(80), count=20_000)
    apart = (a[0] == labels) * 1.0 - (b[0] == labels)
    assert found.error == pytest.approx(apart.std(ddof=1) / math.sqrt(80), rel=0.03)
    assert found.df == 79


def test_areas_of_several_classes_are_averaged():
    labels, ours, theirs, groups = study(8)
    two = [np.stack([1 - side, side], axis=2) for side in (ours, theirs)]
    one = paired_difference("auroc", labels, ours, theirs, groups)
    both = paired_difference("auroc", labels, *two, groups)
    assert both.value == pytest.approx(one.value, abs=1e-12)


def test_equal_answers_have_no_interval():
    labels, ours, _, groups = study(9)
    found = paired_difference("auroc", labels, ours, ours, groups)
    assert found.value == 0
    assert all(math.isnan(number) for number in (found.low, found.high, found.p))


def test_a_class_that_is_missing_leaves_the_difference_undefined():
    _, ours, theirs, groups = study(10)
    found = paired_difference("auroc", np.ones(80), ours, theirs, groups)
    assert math.isnan(found.value)
    assert math.isnan(found.p)


def test_unequal_seeds_or_photographs_are_ours_to_prevent():
    labels, ours, theirs, groups = study(11)
    with pytest.raises(AssertionError, match="same seeds and photographs"):
        paired_difference("auroc", labels, ours[:3], theirs, groups)


@pytest.mark.parametrize("side", [0, 1])
def test_answers_that_are_no_number_and_unknown_labels_are_ours_to_prevent(side):
    labels, *sides, groups = study(11)
    sides[side][2, 5] = math.nan
    with pytest.raises(AssertionError, match="finite"):
        paired_difference("auroc", labels, *sides, groups)
    labels, *sides, groups = study(11)
    labels[3] = -1
    with pytest.raises(AssertionError, match="known"):
        paired_difference("auroc", labels, *sides, groups)


def test_one_patient_tells_nothing_of_others():
    labels, ours, theirs, _ = study(11)
    found = paired_difference("accuracy", labels, ours > 0.5, theirs > 0.5, np.repeat("a", len(labels)))
    assert found.groups == 1
    assert math.isfinite(found.value)
    assert math.isnan(found.low)
    assert math.isnan(found.p)


# Holm


def test_holm_by_hand():
    # Sorted 0.005 0.01 0.03 0.04 times 4 3 2 1, never below an earlier one: 0.02 0.03 0.06 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, math.nan, 0.02]) == pytest.approx([1.0, 1.0, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_bonferroni_of_every_subset(p_values):
    # Closed testing (Marcus, Peritz, Gabriel 1976): as small as the worst set of hypotheses that holds this one allows.
    sets = [s for size in range(1, len(p_values) + 1) for s in itertools.combinations(range(len(p_values)), size)]
    worst = {s: min(1.0, len(s) * min(p_values[i] for i in s)) for s in sets}
    expected = [max(worst[s] for s in sets if i in s) for i in range(len(p_values))]
    assert holm(p_values) == pytest.approx(expected)
