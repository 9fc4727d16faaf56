"""Typical mistakes in exercise 05: folds, halving, Hyperband's table, Bayesian optimisation, TPE, ensembles, a controller."""

import math

import numpy as np
from scipy.special import ndtr

from exercise_code.hyperparameter_tuning.gaussian_process import expected_improvement
from exercise_code.hyperparameter_tuning.reinforce import policy
from tests.catalogue import wrong

# ---- kfold_indices


def dealt(size, k, labels, rng, *, order=None):
    order = rng.permutation(size) if order is None else order
    fold = np.empty(size, dtype=int)
    fold[order] = np.arange(size) % k
    return fold


def stratified_order(size, labels, rng):
    order = rng.permutation(size)
    return order if labels is None else order[np.argsort(np.asarray(labels)[order], kind="stable")]


def pairs(fold, k):
    return [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(k)]


def from_order(make_order):
    """Folds dealt from an order that is made in a wrong way."""

    def folds(size, k=5, *, labels=None, rng=None):
        rng = np.random.default_rng(0) if rng is None else rng
        return pairs(dealt(size, k, labels, rng, order=make_order(size, labels, rng)), k)

    return folds


def right_folds(size, k, labels, rng):
    rng = np.random.default_rng(0) if rng is None else rng
    return pairs(dealt(size, k, labels, rng, order=stratified_order(size, labels, rng)), k)


def changed(change):
    """Right folds with something done to them afterwards."""

    def folds(size, k=5, *, labels=None, rng=None):
        return change(right_folds(size, k, labels, rng), size)

    return folds


def by_labels_only(size, labels, rng):
    return rng.permutation(size) if labels is None else np.argsort(labels, kind="stable")


wrong("kfold_indices", "does not shuffle", says="different folds")(
    from_order(lambda size, labels, rng: np.arange(size))
)
wrong("kfold_indices", "ignores the labels", says="class 0|class 1|class 2")(
    from_order(lambda size, labels, rng: rng.permutation(size))
)
wrong("kfold_indices", "stratified folds without a shuffle", says="different folds.*drawn too")(
    from_order(by_labels_only)
)
wrong("kfold_indices", "a generator of its own", says="two seeds: expected different folds")(
    from_order(lambda size, labels, rng: stratified_order(size, labels, np.random.default_rng(0)))
)
wrong("kfold_indices", "draws from a generator without seed", says="one seed twice")(
    from_order(lambda size, labels, rng: stratified_order(size, labels, np.random.default_rng()))
)
wrong("kfold_indices", "train and val exchanged", says="each sample in val once")(
    changed(lambda folds, size: [(val, train) for train, val in folds])
)
wrong("kfold_indices", "train is everything", says="no sample in train and val at once")(
    changed(lambda folds, size: [(np.arange(size), val) for _, val in folds])
)
wrong("kfold_indices", "masks instead of positions", says="Positions, not a mask")(
    changed(lambda folds, size: [(~np.isin(np.arange(size), val), np.isin(np.arange(size), val)) for _, val in folds])
)
wrong("kfold_indices", "val parts only", says="a pair .train, val. per fold")(
    changed(lambda folds, size: [val for _, val in folds])
)
wrong("kfold_indices", "positions as floats", says="vector of whole numbers, got float64")(
    changed(lambda folds, size: [(train.astype(float), val.astype(float)) for train, val in folds])
)
wrong("kfold_indices", "not sorted", says="increasing positions")(
    changed(lambda folds, size: [(train[::-1], val[::-1]) for train, val in folds])
)
wrong("kfold_indices", "one fold only", says="a list of 5 pairs, got tuple of 2")(changed(lambda folds, size: folds[0]))
wrong("kfold_indices", "a generator function that yields", says="a list of 5 pairs, got generator")(
    changed(lambda folds, size: (pair for pair in folds))
)
wrong("kfold_indices", "one sample of train is lost", says="samples in train and val together")(
    changed(lambda folds, size: [(train[:-1], val) for train, val in folds])
)


@wrong("kfold_indices", "the rest is dropped", says="each sample in val once.*left over")
def dropped(size, k=5, *, labels=None, rng=None):
    order = (np.random.default_rng(0) if rng is None else rng).permutation(size)
    parts = [np.sort(order[i * (size // k) : (i + 1) * (size // k)]) for i in range(k)]
    return [(np.setdiff1d(np.arange(size), part), part) for part in parts]


@wrong("kfold_indices", "the rest goes into the last fold", says="differ by at most 1")
def all_rest_last(size, k=5, *, labels=None, rng=None):
    order = (np.random.default_rng(0) if rng is None else rng).permutation(size)
    cuts = [i * (size // k) for i in range(k)] + [size]
    parts = [np.sort(order[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)]
    return [(np.setdiff1d(np.arange(size), part), part) for part in parts]


@wrong("kfold_indices", "k draws with replacement", says="each sample in val once")
def drawn(size, k=5, *, labels=None, rng=None):
    rng = np.random.default_rng(0) if rng is None else rng
    parts = [np.sort(rng.permutation(size)[: size // k]) for _ in range(k)]
    return [(np.setdiff1d(np.arange(size), part), part) for part in parts]


@wrong("kfold_indices", "every class starts again at fold 0", says="differ by at most 1")
def each_class_from_zero(size, k=5, *, labels=None, rng=None):
    rng = np.random.default_rng(0) if rng is None else rng
    fold, order = np.empty(size, dtype=int), rng.permutation(size)
    labels = np.zeros(size, dtype=int) if labels is None else np.asarray(labels)
    for label in np.unique(labels):
        mine = order[labels[order] == label]
        fold[mine] = np.arange(len(mine)) % k
    return pairs(fold, k)


# ---- halving_survivors


def survivors(pick):
    def answer(values, eta):
        return pick(np.asarray(values, dtype=float), eta)

    return answer


def kept(values, eta):
    return max(1, len(values) // eta)


def best_first(values):
    return np.argsort(values, kind="stable")


def finite(values, order):
    return [int(i) for i in order if np.isfinite(values[i])]


for mistake, says, pick in (
    ("the highest values", "lowest values", lambda v, e: finite(v, np.argsort(-v, kind="stable")[: kept(v, e)])),
    ("eliminates eta of them", "1 / eta of them go on", lambda v, e: finite(v, best_first(v)[: max(1, len(v) - e)])),
    ("eliminates 1 / eta of them", "1 / eta of them go on", lambda v, e: finite(v, best_first(v)[: len(v) - kept(v, e)])),
    ("keeps eta of them", "1 / eta of them|go on", lambda v, e: finite(v, best_first(v)[:e])),
    ("rounds up", "round down", lambda v, e: finite(v, best_first(v)[: math.ceil(len(v) / e)])),
    ("rounds to the nearest", "round down", lambda v, e: finite(v, best_first(v)[: max(1, round(len(v) / e))])),
    ("none of two", "At least one", lambda v, e: finite(v, best_first(v)[: len(v) // e])),
    ("lets nan and inf go on", "never", lambda v, e: [int(i) for i in best_first(v)[: kept(v, e)]]),
    ("drops nan only", "never", lambda v, e: [int(i) for i in best_first(v)[: kept(v, e)] if not np.isnan(v[i])]),
    ("the values instead of positions", "Positions, not the values", lambda v, e: np.sort(v)[: kept(v, e)].tolist()),
    ("a mask", "Positions, not the values", lambda v, e: (v <= np.sort(v)[kept(v, e) - 1]).tolist()),
    ("in order of position", "best one first", lambda v, e: sorted(finite(v, best_first(v)[: kept(v, e)]))),
    ("worst first", "best one first", lambda v, e: finite(v, best_first(v)[: kept(v, e)])[::-1]),
    ("later ones first among equals", "stable", lambda v, e: finite(v, np.lexsort((-np.arange(len(v)), v))[: kept(v, e)])),
    ("counts only the finite ones", "nan|go on", lambda v, e: finite(v, best_first(v))[: max(1, np.isfinite(v).sum() // e)]),
    ("nothing is returned", "is there a return", lambda v, e: None),
    ("the best one only", "1 / eta of them go on|lowest values", lambda v, e: finite(v, best_first(v)[:1])),
    ("ranks instead of positions", "expected", lambda v, e: [int(i) for i in np.argsort(best_first(v))[: kept(v, e)]]),
):  # fmt: skip
    wrong("halving_survivors", mistake, says=says)(survivors(pick))


@wrong("halving_survivors", "min with nan in front", says="nan")
def by_min(values, eta):
    left, chosen = list(values), []
    for _ in range(max(1, len(left) // eta)):
        position = left.index(min(left))
        chosen.append(position)
        left[position] = float("inf")
    return chosen


@wrong("halving_survivors", "sorts the values in place", says="a changed one")
def in_place(values, eta):
    order = np.argsort(values, kind="stable")
    values.sort()
    return [int(i) for i in order[: max(1, len(values) // eta)]]


# ---- elimination_rounds


def rounds(keep, *, each=lambda budget, n: budget // n, until=0, last=True):
    """The slide's loop with exchangeable lines; never more than 50 rounds."""

    def answer(configurations, budget, eta):
        found, n = [], configurations
        while n > until and len(found) < 50:
            found.append((n, each(budget, n)))
            if n == 1:
                break
            n = keep(n, eta)
        return found if last else found[:-1]

    return answer


def one_in(n, eta):
    return max(1, n // eta)


for mistake, says, answer in (
    ("stops before the last round, as printed", "The winner is trained alone", rounds(one_in, until=1)),
    ("eliminates eta configurations, as printed", "eta is a ratio", rounds(lambda n, eta: n - eta)),
    ("eliminates eta, and stops at one", "eta is a ratio", rounds(lambda n, eta: max(1, n - eta))),
    ("eliminates 1 / eta", "eta is a ratio", rounds(lambda n, eta: n - n // eta if n > 2 else 1)),
    ("always a half", "eta is a ratio", rounds(lambda n, eta: max(1, n // 2))),
    ("rounds up", "Round down", rounds(lambda n, eta: -(-n // eta))),
    ("rounds to the nearest", "Round down|one still", rounds(lambda n, eta: max(1, round(n / eta)))),
    ("no last round when eta is large", "rounds", rounds(lambda n, eta: n // eta)),
    ("float epochs", "whole numbers", rounds(one_in, each=lambda budget, n: budget / n)),
    ("the budget shared by all rounds", "expected", rounds(one_in, each=lambda budget, n: budget // 4 // n)),
    ("every configuration gets the whole budget", "expected", rounds(one_in, each=lambda budget, n: budget)),
    ("epochs rounded up", "whole epochs", rounds(one_in, each=lambda budget, n: -(-budget // n))),
    ("the last round is dropped", "rounds", rounds(one_in, last=False)),
    ("pairs turned around", "expected", lambda c, b, e: [(r, n) for n, r in rounds(one_in)(c, b, e)]),
    ("backwards", "expected", lambda c, b, e: rounds(one_in)(c, b, e)[::-1]),
    ("a dict", "a list of pairs", lambda c, b, e: dict(rounds(one_in)(c, b, e))),
    ("the number of configurations only", "a list of pairs", lambda c, b, e: [n for n, _ in rounds(one_in)(c, b, e)]),
    ("nothing is returned", "a list of pairs .configurations, epochs each., got None", lambda c, b, e: None),
    ("epochs times eta from 1", "expected", lambda c, b, e: [(n, e**i) for i, (n, _) in enumerate(rounds(one_in)(c, b, e))]),
):  # fmt: skip
    wrong("elimination_rounds", mistake, says=says)(answer)


# ---- hyperband_table


def whole_log(longest, eta):
    s = 0
    while eta ** (s + 1) <= longest:
        s += 1
    return s


def lecture_start(s_max, s, eta):
    return (s_max + 1) // (s + 1) * eta**s


def published_start(s_max, s, eta):
    return -(-(s_max + 1) * eta**s // (s + 1))


def brackets(
    *,
    s_of=whole_log,
    lecture=lecture_start,
    published=published_start,
    configs=lambda n, eta, i, s: n // eta**i,
    epochs=lambda longest, eta, i, s: longest // eta ** (s - i),
    order=lambda s_max: range(s_max, -1, -1),
    rungs=lambda s: range(s + 1),
    finish=lambda table: table,
):
    """The table with exchangeable rules."""

    def answer(max_epochs, eta=3, variant="lecture"):
        s_max = s_of(max_epochs, eta)
        table = []
        for s in order(s_max):
            n = (lecture if variant == "lecture" else published)(s_max, s, eta)
            table.append([(configs(n, eta, i, s), epochs(max_epochs, eta, i, s)) for i in rungs(s)])
        return finish(table)

    return answer


for mistake, says, answer in (
    ("s_max by a logarithm of floats", "Logarithms of floats", brackets(s_of=lambda r, eta: int(math.log(r) / math.log(eta)))),
    ("s_max rounded", "brackets", brackets(s_of=lambda r, eta: round(math.log(r) / math.log(eta)))),
    ("one bracket too few", "brackets", brackets(order=lambda s_max: range(s_max, 0, -1))),
    ("one bracket too many", "brackets", brackets(s_of=lambda r, eta: whole_log(r, eta) + 1)),
    ("brackets in the order of s", "comes first", brackets(order=lambda s_max: range(s_max + 1))),
    ("one rung too few", "rungs", brackets(rungs=range)),
    ("n by 2 down to 1, as on the slide", "expected", brackets(configs=lambda n, eta, i, s: n - 2 * i)),
    ("the same start in every bracket", "n_i: expected", brackets(lecture=lambda s_max, s, eta: eta**s_max)),
    ("eta**s without the factor", "n_i: expected", brackets(lecture=lambda s_max, s, eta: eta**s)),
    ("the lecture's floor at the end", "first the floor", brackets(lecture=lambda s_max, s, eta: (s_max + 1) * eta**s // (s + 1))),
    ("published: ceil of the share", "divide last", brackets(published=lambda s_max, s, eta: -(-(s_max + 1) // (s + 1)) * eta**s)),
    ("published: floor", "round up", brackets(published=lambda s_max, s, eta: (s_max + 1) * eta**s // (s + 1))),
    ("both variants alike", "divide last", brackets(published=lecture_start)),
    ("ceil at every rung", "floor.n / eta", brackets(configs=lambda n, eta, i, s: -(-n // eta**i))),
    ("divides by eta * i", "expected|stopped", brackets(configs=lambda n, eta, i, s: n // max(1, eta * i))),
    ("epochs of one rung too many", "r_i: expected", brackets(epochs=lambda r, eta, i, s: r // eta ** max(0, s - i - 1))),
    ("epochs counted from the start", "r_i: expected", brackets(epochs=lambda r, eta, i, s: eta**i)),
    ("epochs of s_max in every bracket", "r_i: expected", brackets(epochs=lambda r, eta, i, s: r // eta ** (s + 1 - i))),
    ("float division", "counted in whole", brackets(configs=lambda n, eta, i, s: n / eta**i)),
    ("float epochs", "counted in whole", brackets(epochs=lambda r, eta, i, s: r / eta ** (s - i))),
    ("pairs turned around", "expected", brackets(finish=lambda table: [[(r, n) for n, r in rungs] for rungs in table])),
    ("one flat list", "lists of pairs", brackets(finish=lambda table: [pair for rungs in table for pair in rungs])),
    ("a dict of brackets", "a list of brackets, got dict", brackets(finish=lambda table: dict(enumerate(table)))),
    ("nothing is returned", "is there a return", brackets(finish=lambda table: None)),
):  # fmt: skip
    wrong("hyperband_table", mistake, says=says)(answer)


# ---- expected_improvement


def phi(z):
    return np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)


def improvement(formula, *, sign=1.0, at_zero=None):
    """EI with an exchangeable formula(gain, std, z); at_zero says what is returned for std 0."""

    def answer(mean, std, best):
        gain, std = sign * (best - np.asarray(mean, dtype=float)), np.asarray(std, dtype=float)
        z = gain / np.where(std > 0, std, 1.0)
        zero = np.maximum(gain, 0) if at_zero is None else at_zero(gain)
        return np.where(std > 0, formula(gain, std, z), zero)

    return answer


def usual(gain, std, z):
    return np.maximum(gain * ndtr(z) + std * phi(z), 0)


for mistake, says, answer in (
    ("for an accuracy", "lower is better", improvement(usual, sign=-1)),
    ("probability of improvement", "expected", improvement(lambda g, s, z: ndtr(z))),
    ("gain times Phi only", "expected", improvement(lambda g, s, z: g * ndtr(z))),
    ("std times phi only", "expected", improvement(lambda g, s, z: s * phi(z))),
    ("minus instead of plus", "expected", improvement(lambda g, s, z: g * ndtr(z) - s * phi(z))),
    ("phi without its factor", "expected", improvement(lambda g, s, z: g * ndtr(z) + s * np.exp(-0.5 * z**2))),
    ("the variance for the std", "expected", improvement(lambda g, s, z: g * ndtr(g / s**2) + s**2 * phi(g / s**2))),
    ("Phi and phi exchanged", "expected", improvement(lambda g, s, z: g * phi(z) + s * ndtr(z))),
    ("exp(-z**2)", "expected", improvement(lambda g, s, z: g * ndtr(z) + s * np.exp(-(z**2)) / np.sqrt(2 * np.pi))),
    ("exp(z**2 / 2)", "expected", improvement(lambda g, s, z: g * ndtr(z) + s * np.exp(0.5 * z**2) / np.sqrt(2 * np.pi))),
    ("the gain of the mean only", "expected", improvement(lambda g, s, z: np.maximum(g, 0))),
    ("mean - kappa std", "expected", improvement(lambda g, s, z: 2 * s + g)),
    ("0 where std is 0", "std 0: expected 0.5", improvement(usual, at_zero=np.zeros_like)),
    ("a negative gain where std is 0", "std 0: expected 0", improvement(usual, at_zero=lambda gain: gain)),
    ("the mean over all", "expected shape", lambda m, s, b: np.mean(improvement(usual)(m, s, b))),
    ("nothing is returned", "is there a return", lambda m, s, b: None),
    ("1 - mean, as printed", "expected", lambda m, s, best: 1 - np.asarray(m, dtype=float)),
):  # fmt: skip
    wrong("expected_improvement", mistake, says=says)(answer)


@wrong("expected_improvement", "0 / 0 where std is 0", says="std 0.*got nan|max.0, best - mean")
def zero_by_zero(mean, std, best):
    gain, std = best - np.asarray(mean, dtype=float), np.asarray(std, dtype=float)
    with np.errstate(all="ignore"):
        z = gain / std
        return gain * ndtr(z) + std * phi(z)


@wrong("expected_improvement", "std 0 decided for all at once", says="entry by entry|expected")
def all_at_once(mean, std, best):
    mean, std = np.asarray(mean, dtype=float), np.asarray(std, dtype=float)
    if np.any(std == 0):
        return np.maximum(best - mean, 0)
    return improvement(usual)(mean, std, best)


@wrong("expected_improvement", "replaces the zeros in place", says="a changed one")
def replaced(mean, std, best):
    std[std == 0] = 1e-12
    return improvement(usual)(mean, std, best)


# ---- next_configuration

for mistake, says, answer in (
    ("1 - E[y], as printed", "1 - E.y. is large where accuracy is poor", lambda m, s, b: int(np.argmax(1 - m))),
    ("accuracies taken for losses", "expected candidate", lambda m, s, b: int(np.argmax(expected_improvement(m, s, b)))),
    ("argmin of the right thing", "expected candidate", lambda m, s, b: int(np.argmin(expected_improvement(-m, s, -b)))),
    ("best not turned around", "expected candidate", lambda m, s, b: int(np.argmax(expected_improvement(-m, s, b)))),
    ("the mean not turned around", "expected candidate", lambda m, s, b: int(np.argmax(expected_improvement(m, s, -b)))),
    ("1 - mean against best", "expected candidate", lambda m, s, b: int(np.argmax(expected_improvement(1 - m, s, b)))),
    ("the highest mean", "more uncertain|how far", lambda m, s, b: int(np.argmax(m))),
    ("the highest std", "expected candidate", lambda m, s, b: int(np.argmax(s))),
    ("mean plus two std", "how far", lambda m, s, b: int(np.argmax(m + 2 * s))),
    ("probability of improvement", "how far|std 0", lambda m, s, b: int(np.argmax((m - b) / np.where(s > 0, s, 1e-9)))),
    ("max instead of argmax", "argmax", lambda m, s, b: float(np.max(expected_improvement(-m, s, -b)))),
    ("all expected improvements", "the position of a candidate, got ndarray", lambda m, s, b: expected_improvement(-m, s, -b)),
    ("the candidate's mean", "the position of a candidate", lambda m, s, b: float(m[np.argmax(expected_improvement(-m, s, -b))])),
    ("nothing is returned", "is there a return", lambda m, s, b: None),
    ("counted from 1", "expected candidate", lambda m, s, b: int(np.argmax(expected_improvement(-m, s, -b))) + 1),
    ("the std turned around too", "expected candidate", lambda m, s, b: int(np.argmax(expected_improvement(-m, -s, -b)))),
):  # fmt: skip
    wrong("next_configuration", mistake, says=says)(answer)


# ---- split_good_bad


def split(count, *, order=best_first, good=finite, finish=lambda good, bad: (good, bad)):
    """The split with exchangeable parts."""

    def answer(values, gamma):
        values = np.asarray(values, dtype=float)
        chosen = np.array(good(values, order(values)[: count(gamma, values)]), dtype=int)
        return finish(chosen, np.setdiff1d(np.arange(len(values)), chosen))

    return answer


def up(gamma, values):
    return math.ceil(gamma * len(values))


for mistake, says, answer in (
    ("rounds down", "round up", split(lambda gamma, v: int(gamma * len(v)))),
    ("rounds to the nearest", "round up", split(lambda gamma, v: round(gamma * len(v)))),
    ("at least one, else down", "round up", split(lambda gamma, v: max(1, int(gamma * len(v))))),
    ("one too many", "expected", split(lambda gamma, v: up(gamma, v) + 1)),
    ("a share of the finite ones", "of all n|Fewer|never good", split(lambda gamma, v: math.ceil(gamma * np.isfinite(v).sum()))),
    ("1 - gamma are good", "expected", split(lambda gamma, v: math.ceil((1 - gamma) * len(v)))),
    ("the highest values", "lowest values are good", split(up, order=lambda v: np.argsort(-v, kind="stable"))),
    ("later ones first among equals", "stable", split(up, order=lambda v: np.lexsort((-np.arange(len(v)), v)))),
    ("nan and inf are good", "never good", split(up, good=lambda v, o: list(o))),
    ("nan is dropped, inf is good", "never good", split(up, good=lambda v, o: [i for i in o if not np.isnan(v[i])])),
    ("good and bad exchanged", "good: expected", split(up, finish=lambda good, bad: (bad, good))),
    ("good in order of position", "best first", split(up, finish=lambda good, bad: (np.sort(good), bad))),
    ("good only", "a pair .good, bad.", split(up, finish=lambda good, bad: good.tolist() + [0, 0, 0])),
    ("nothing is returned", "a pair .good, bad., got NoneType", split(up, finish=lambda good, bad: None)),
    ("bad from worst to best", "bad: expected", split(up, finish=lambda good, bad: (good, bad[::-1]))),
    ("nothing is bad", "bad: expected shape", split(up, finish=lambda good, bad: (good, bad[:0]))),
):  # fmt: skip
    wrong("split_good_bad", mistake, says=says)(answer)


@wrong("split_good_bad", "failed trials are in neither group", says="bad: expected shape")
def forgets_failed(values, gamma):
    values = np.asarray(values, dtype=float)
    order = [i for i in np.argsort(values, kind="stable") if np.isfinite(values[i])]
    count = math.ceil(gamma * len(values))
    return np.array(order[:count], dtype=int), np.sort(np.array(order[count:], dtype=int))


@wrong("split_good_bad", "the values instead of the positions", says="good: expected")
def values_not_positions(values, gamma):
    ranked = np.sort(np.asarray(values, dtype=float))
    count = math.ceil(gamma * len(ranked))
    return ranked[:count], ranked[count:]


@wrong("split_good_bad", "everything below the quantile", says="expected")
def below_the_quantile(values, gamma):
    values = np.asarray(values, dtype=float)
    good = values < np.quantile(values, gamma)
    return np.flatnonzero(good), np.flatnonzero(~good)


@wrong("split_good_bad", "sets failed ones to inf in the argument", says="a changed one")
def written(values, gamma):
    values[np.isnan(values)] = np.inf
    return split(up)(values, gamma)


# ---- propose_by_ratio


def proposal(score, *, pick=np.argmax, source="good", finish=lambda points, best: points[best]):
    """Step two with an exchangeable score(log l, log g)."""

    def answer(good, bad, candidates, rng):
        points = (good if source == "good" else bad).sample(rng, candidates)
        with np.errstate(all="ignore"):
            return finish(points, pick(score(good.log_density(points), bad.log_density(points))))

    return answer


def ratio(a, b):
    return a - b


def own_generator(good, bad, candidates, rng):
    points = good.sample(np.random.default_rng(0), candidates)
    return points[np.argmax(good.log_density(points) - bad.log_density(points))]


for mistake, says, answer in (
    ("the lowest ratio", "ratio l / g", proposal(ratio, pick=np.argmin)),
    ("g / l", "ratio l / g", proposal(lambda a, b: b - a)),
    ("l only", "ratio l / g", proposal(lambda a, b: a)),
    ("g lowest only", "ratio l / g", proposal(lambda a, b: -b)),
    ("g highest", "ratio l / g", proposal(lambda a, b: b)),
    ("the quotient of the logarithms", "difference of the logarithms|ratio l / g", proposal(lambda a, b: a / b)),
    ("the sum of the logarithms", "ratio l / g", proposal(lambda a, b: a + b)),
    ("the quotient of the densities", "stay with the logarithms", proposal(lambda a, b: np.exp(a) / np.exp(b))),
    ("the difference of the densities", "expected", proposal(lambda a, b: np.exp(a) - np.exp(b))),
    ("candidates from bad", "good only", proposal(ratio, source="bad")),
    ("the position instead of the candidate", "Return that candidate", proposal(ratio, finish=lambda points, best: best)),
    ("all candidates", "expected shape", proposal(ratio, finish=lambda points, best: points)),
    ("a matrix of one row", "expected shape", proposal(ratio, finish=lambda points, best: points[best : best + 1])),
    ("the first candidate", "expected", proposal(ratio, finish=lambda points, best: points[0])),
    ("of equals the last", "Of equals the first", proposal(ratio, pick=lambda s: len(s) - 1 - np.argmax(s[::-1]))),
    ("nothing is returned", "is there a return", proposal(ratio, finish=lambda points, best: None)),
    ("one candidate", "4 candidates, got 1", lambda g, b, n, rng: proposal(ratio)(g, b, 1, rng)),
    ("twice as many candidates", "4 candidates, got 8", lambda g, b, n, rng: proposal(ratio)(g, b, 2 * n, rng)),
    ("a generator of its own", "the rng that came in", own_generator),
    ("no draw at all", "no call of good.sample", lambda g, b, n, rng: rng.random(3)),
):  # fmt: skip
    wrong("propose_by_ratio", mistake, says=says)(answer)


@wrong("propose_by_ratio", "two different draws", says="4 candidates, got 8")
def drawn_twice(good, bad, candidates, rng):
    score = good.log_density(good.sample(rng, candidates)) - bad.log_density(good.sample(rng, candidates))
    return good.sample(rng, 0 * candidates + 1)[0] if score is None else good.points[np.argmax(score)]


# ---- ensemble_probabilities


def softmax(logits, axis=-1):
    powers = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def shares(weights):
    return weights / weights.sum()


def unstable(logits, weights):
    with np.errstate(all="ignore"):
        powers = np.exp(logits)
        return np.tensordot(shares(weights), powers / powers.sum(axis=-1, keepdims=True), axes=1)


def one_maximum(logits, weights):
    with np.errstate(all="ignore"):
        powers = np.exp(logits - logits.max())
        return np.tensordot(shares(weights), powers / powers.sum(axis=-1, keepdims=True), axes=1)


def votes(logits, weights):
    one_hot = np.eye(logits.shape[-1])[logits.argmax(axis=-1)]
    return np.tensordot(shares(weights), one_hot, axes=1)


def geometric(logits, weights):
    mean = np.tensordot(shares(weights), np.log(softmax(logits) + 1e-300), axes=1)
    return softmax(mean)


def scaled_in_place(logits, weights):
    weights /= weights.sum()
    return np.tensordot(weights, softmax(logits), axes=1)


def shifted_in_place(logits, weights):
    logits -= logits.max(axis=-1, keepdims=True)
    return np.tensordot(shares(weights), softmax(logits), axes=1)


for mistake, says, answer in (
    ("the mean of the logits", "softmax first|not logits", lambda z, w: softmax(np.tensordot(shares(w), z, axes=1))),
    ("logits without softmax", "expected", lambda z, w: np.tensordot(shares(w), z, axes=1)),
    ("the geometric mean", "expected", geometric),
    ("hard votes", "expected", votes),
    ("weights not normalised", "expected", lambda z, w: np.tensordot(w, softmax(z), axes=1)),
    ("weights ignored", "weights|no say", lambda z, w: softmax(z).mean(axis=0)),
    ("weights divided by the number of members", "expected", lambda z, w: np.tensordot(w, softmax(z), axes=1) / len(w)),
    ("softmax of the weights", "expected", lambda z, w: np.tensordot(softmax(w), softmax(z), axes=1)),
    ("softmax along the samples", "expected", lambda z, w: np.tensordot(shares(w), softmax(z, 1), axes=1)),
    ("softmax along the members", "expected", lambda z, w: np.tensordot(shares(w), softmax(z, 0), axes=1)),
    ("mean over the samples", "expected shape", lambda z, w: softmax(z).mean(axis=1)),
    ("overflows", "logits of 1000: .*nan", unstable),
    ("one maximum for all rows", "logits of 1000", one_maximum),
    ("weights changed in place", "a changed one", scaled_in_place),
    ("logits changed in place", "a changed one", shifted_in_place),
    ("classes instead of probabilities", "expected shape", lambda z, w: softmax(z).mean(axis=0).argmax(axis=-1)),
    ("nothing is returned", "is there a return", lambda z, w: None),
    ("the first member only", "expected", lambda z, w: softmax(z)[0]),
    ("the most probable of all members", "expected", lambda z, w: softmax(z).max(axis=0)),
):  # fmt: skip
    wrong("ensemble_probabilities", mistake, says=says)(answer)


# ---- policy_gradient


def one_hot(logits, action):
    return np.eye(len(logits))[action]


def overflowing(logits, action, advantage):
    with np.errstate(all="ignore"):
        powers = np.exp(np.asarray(logits, dtype=float))
        return advantage * (one_hot(logits, action) - powers / powers.sum())


def logits_in_place(logits, action, advantage):
    gradient = one_hot(logits, action) - policy(logits)
    logits += advantage * gradient
    return advantage * gradient


def of_the_probability(logits, action, advantage):
    p = policy(logits)
    return advantage * p[action] * (one_hot(logits, action) - p)


for mistake, says, answer in (
    ("minus probabilities only", "expected", lambda z, a, adv: -adv * policy(z)),
    ("the drawn option only", "expected", lambda z, a, adv: adv * one_hot(z, a)),
    ("1 - p for the drawn one, 0 for the others", "expected", lambda z, a, adv: adv * one_hot(z, a) * (1 - policy(z))),
    ("the sign turned around", "expected", lambda z, a, adv: adv * (policy(z) - one_hot(z, a))),
    ("no advantage", "expected", lambda z, a, adv: one_hot(z, a) - policy(z)),
    ("the size of the advantage only", "goes down|expected", lambda z, a, adv: abs(adv) * (one_hot(z, a) - policy(z))),
    ("the sign of the advantage only", "expected", lambda z, a, adv: np.sign(adv) * (one_hot(z, a) - policy(z))),
    ("advantage on the one-hot only", "expected", lambda z, a, adv: adv * one_hot(z, a) - policy(z)),
    ("the gradient of the probability", "expected", of_the_probability),
    ("of the most likely option", "drawn option|expected", lambda z, a, adv: adv * (one_hot(z, int(np.argmax(z))) - policy(z))),
    ("logits for probabilities", "expected", lambda z, a, adv: adv * (one_hot(z, a) - np.asarray(z))),
    ("overflows", "logits of 1000.*overflow", overflowing),
    ("the logarithm of the probability", "expected shape", lambda z, a, adv: adv * np.log(policy(z)[a])),
    ("changes the logits", "a changed one", logits_in_place),
    ("counted from 1", "expected|stopped", lambda z, a, adv: adv * (one_hot(z, a - 1) - policy(z))),
    ("the whole step", "expected", lambda z, a, adv: np.asarray(z) + adv * (one_hot(z, a) - policy(z))),
    ("divided by the number of options", "expected", lambda z, a, adv: adv * (one_hot(z, a) - policy(z)) / len(z)),
    ("nothing is returned", "is there a return", lambda z, a, adv: None),
):  # fmt: skip
    wrong("policy_gradient", mistake, says=says)(answer)
