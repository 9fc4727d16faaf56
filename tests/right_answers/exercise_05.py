"""Honest variants of exercise 05's tasks: other algebra, loops, other types, other libraries' functions."""

import itertools
import math
import statistics
import warnings

import numpy as np
from scipy import stats
from scipy.special import erf, log_softmax, ndtr, softmax

from exercise_code import cross_validation
from exercise_code.hyperparameter_tuning import gaussian_process, hyperband, reinforce, successive_halving, tpe
from tests.catalogue import right

for _task, _answer in {
    "kfold_indices": cross_validation.kfold_indices,
    "halving_survivors": successive_halving.successive_halving_survivors,
    "hyperband_table": hyperband.hyperband_brackets,
    "expected_improvement": gaussian_process.expected_improvement,
    "split_good_bad": tpe.split_good_bad,
    "propose_by_ratio": tpe.propose_by_ratio,
    "policy_gradient": reinforce.policy_gradient,
}.items():
    right(_task, "the package's own")(_answer)


# ---- kfold_indices


@right("kfold_indices", "slices of the order, every k-th")
def strided(size, k=5, *, labels=None, rng=None):
    rng = np.random.default_rng(0) if rng is None else rng
    order = rng.permutation(size)
    if labels is not None:
        order = np.array(sorted(order.tolist(), key=lambda i: labels[i]))
    return [(np.sort(np.delete(order, np.s_[i::k])), np.sort(order[i::k])) for i in range(k)]


@right("kfold_indices", "array_split without labels, dealt with them")
def split_in_blocks(size, k=5, *, labels=None, rng=None):
    rng = np.random.default_rng(0) if rng is None else rng
    if labels is None:
        held_out = [np.sort(part) for part in np.array_split(rng.permutation(size), k)]
    else:
        shuffled = rng.permutation(size)
        order = shuffled[np.lexsort((np.arange(size), np.asarray(labels)[shuffled]))]
        held_out = [np.sort(order[i::k]) for i in range(k)]
    return [(np.setdiff1d(np.arange(size), part), part) for part in held_out]


@right("kfold_indices", "lists, sample by sample")
def by_sample(size, k=5, *, labels=None, rng=None):
    rng = np.random.default_rng(0) if rng is None else rng
    labels = [0] * size if labels is None else list(labels)
    cards = list(range(size))
    rng.shuffle(cards)
    cards.sort(key=lambda i: labels[i])
    hands = [[] for _ in range(k)]
    for turn, card in enumerate(cards):
        hands[turn % k].append(card)
    return [(sorted(set(range(size)) - set(hand)), sorted(hand)) for hand in hands]


@right("kfold_indices", "class by class, going on where the last one ended")
def class_by_class(size, k=5, *, labels=None, rng=None):
    rng = np.random.default_rng(0) if rng is None else rng
    labels = np.zeros(size, dtype=int) if labels is None else np.asarray(labels)
    fold, start = np.empty(size, dtype=np.int32), 0
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        fold[members] = (start + np.arange(len(members))) % k
        start += len(members)
    return [(np.where(fold != i)[0], np.where(fold == i)[0]) for i in range(k)]


@right("kfold_indices", "folds in reverse, a random key per sample, a tuple of lists")
def by_key(size, k=5, *, labels=None, rng=None):
    rng = np.random.default_rng(0) if rng is None else rng
    keys = rng.random(size)
    order = np.lexsort((keys, np.zeros(size) if labels is None else labels))
    fold = np.empty(size, dtype=int)
    fold[order] = k - 1 - np.arange(size) % k
    return tuple([np.flatnonzero(fold != i), np.flatnonzero(fold == i)] for i in range(k))


# ---- halving_survivors


@right("halving_survivors", "sorted with a key")
def sorted_with_key(values, eta):
    places = max(1, len(values) // eta)
    ranked = sorted(range(len(values)), key=lambda i: (not math.isfinite(values[i]), values[i]))
    return [i for i in ranked[:places] if math.isfinite(values[i])]


@right("halving_survivors", "finite ones first, then cut, as an array")
def finite_first(values, eta):
    values = np.asarray(values)
    alive = np.flatnonzero(np.isfinite(values))
    return alive[np.argsort(values[alive], kind="stable")][: max(1, len(values) // eta)]


@right("halving_survivors", "the minimum, again and again")
def again_and_again(values, eta):
    left, chosen = {i: v for i, v in enumerate(values) if np.isfinite(v)}, []
    for _ in range(max(1, len(values) // eta)):
        if left:
            chosen.append(min(left, key=left.get))
            del left[chosen[-1]]
    return chosen


@right("halving_survivors", "nan replaced in a copy, and a warning")
def replaced(values, eta):
    warnings.warn("harmless", stacklevel=2)
    safe = np.where(np.isfinite(values), values, np.inf)
    return [i for i in np.argsort(safe, kind="mergesort")[: max(1, safe.size // eta)] if safe[i] < np.inf]


@right("halving_survivors", "lexsort, a tuple")
def lexsorted(values, eta):
    values = np.array(values, dtype=float)
    order = np.lexsort((np.arange(len(values)), values))
    number = int(np.floor(len(values) / eta)) or 1
    return tuple(int(i) for i in order[:number] if np.isfinite(values[i]))


# ---- elimination_rounds


@right("elimination_rounds", "a while loop and the winner's round after it")
def then_the_winner(configurations, budget, eta):
    print("rounds")
    n, found = configurations, []
    while n > 1:
        found.append((n, budget // n))
        n = max(n // eta, 1)
    return [*found, (1, budget)]


@right("elimination_rounds", "recursive, lists for pairs")
def recursive(configurations, budget, eta):
    if configurations == 1:
        return [[1, budget]]
    return [[configurations, budget // configurations], *recursive(max(1, configurations // eta), budget, eta)]


@right("elimination_rounds", "an array")
def as_array(configurations, budget, eta):
    sizes = [configurations]
    while sizes[-1] > 1:
        sizes.append(max(1, math.floor(sizes[-1] / eta)))
    return np.array([[n, budget // n] for n in sizes])


@right("elimination_rounds", "numpy integers")
def numpy_integers(configurations, budget, eta):
    sizes = itertools.takewhile(lambda n: n > 1, (configurations // eta**i for i in itertools.count()))
    return [(np.int64(n), np.int64(budget) // n) for n in [*sizes, 1]]


@right("elimination_rounds", "a list of configurations that shrinks")
def shrinking(configurations, budget, eta):
    alive, found = list(range(configurations)), []
    while True:
        found.append((len(alive), int(budget / len(alive))))
        if len(alive) == 1:
            return tuple(found)
        alive = alive[: max(1, len(alive) // eta)]


@right("elimination_rounds", "divmod")
def with_divmod(configurations, budget, eta):
    found, n = [(configurations, budget // configurations)], configurations
    while n != 1:
        n = divmod(n, eta)[0] or 1
        found += [(n, divmod(budget, n)[0])]
    return found


# ---- hyperband_table


@right("hyperband_table", "s_max by repeated division")
def divided(max_epochs, eta=3, variant="lecture"):
    s_max, rest = 0, max_epochs // eta
    while rest:
        s_max, rest = s_max + 1, rest // eta
    table = []
    for s in reversed(range(s_max + 1)):
        n = eta**s * ((s_max + 1) // (s + 1))
        if variant == "published":
            n = ((s_max + 1) * eta**s + s) // (s + 1)
        table.append([(n // eta**i, max_epochs // eta ** (s - i)) for i in range(s + 1)])
    return table


@right("hyperband_table", "math.ceil and a corrected logarithm")
def logarithm(max_epochs, eta=3, variant="lecture"):
    s_max = int(math.floor(math.log(max_epochs, eta) + 1e-9))
    table = []
    for s in range(s_max, -1, -1):
        start = {
            "lecture": math.floor((s_max + 1) / (s + 1)) * eta**s,
            "published": math.ceil((s_max + 1) * eta**s / (s + 1)),
        }[variant]
        table.append([(int(start / eta**i), int(max_epochs / eta ** (s - i))) for i in range(s + 1)])
    return table


@right("hyperband_table", "floor after floor, tuples")
def floor_after_floor(max_epochs, eta=3, variant="lecture"):
    s_max = max(s for s in range(64) if eta**s <= max_epochs)
    table = ()
    for s in range(s_max + 1):
        whole, rest = divmod((s_max + 1) * eta**s, s + 1)
        n = whole + (rest > 0) if variant != "lecture" else (s_max + 1) // (s + 1) * eta**s
        rungs, epochs = (), [max_epochs]
        for _ in range(s):
            epochs.insert(0, epochs[0] // eta)
        for r in epochs:
            rungs += ((n, r),)
            n //= eta
        table = (rungs, *table)
    return table


@right("hyperband_table", "numpy")
def in_numpy(max_epochs, eta=3, variant="lecture"):
    powers = np.array([eta**i for i in range(40) if eta**i <= max_epochs])
    s_max = len(powers) - 1
    table = []
    for s in range(s_max, -1, -1):
        n = (s_max + 1) // (s + 1) * powers[s] if variant == "lecture" else -(-(s_max + 1) * powers[s] // (s + 1))
        table.append(np.stack([n // powers[: s + 1], max_epochs // powers[s::-1]], axis=1))
    return table


@right("hyperband_table", "lists for pairs, a bracket by recursion")
def by_recursion(max_epochs, eta=3, variant="lecture"):
    def top(r):
        return 0 if r < eta else 1 + top(r // eta)

    def start(s):
        share = (top(max_epochs) + 1, s + 1)
        return share[0] // share[1] * eta**s if variant == "lecture" else math.ceil(share[0] * eta**s / share[1])

    def rungs(n, s):
        return [[n, max_epochs // eta**s], *(rungs(n // eta, s - 1) if s else [])]

    return [rungs(start(s), s) for s in range(top(max_epochs), -1, -1)]


# ---- expected_improvement


@right("expected_improvement", "scipy.stats.norm, zeros of std put right afterwards")
def with_norm(mean, std, best):
    mean, std = np.array(mean, dtype=float), np.array(std, dtype=float)
    safe = np.where(std == 0, 1, std)
    z = (best - mean) / safe
    value = safe * (z * stats.norm.cdf(z) + stats.norm.pdf(z))
    value[std == 0] = np.clip(best - mean, 0, None)[std == 0]
    return value


@right("expected_improvement", "in a loop, math.erf")
def in_a_loop(mean, std, best):
    found = []
    for m, s in zip(mean, std, strict=True):
        if s == 0:
            found.append(max(0.0, best - m))
        else:
            z = (best - m) / s
            found.append((best - m) * (1 + math.erf(z / 2**0.5)) / 2 + s * math.exp(-z * z / 2) / (2 * math.pi) ** 0.5)
    return np.array(found)


@right("expected_improvement", "a tiny std in place of none")
def tiny(mean, std, best):
    std = np.maximum(np.asarray(std, dtype=float), 1e-12)
    z = (best - np.asarray(mean)) / std
    return np.maximum(std * (z * ndtr(z) + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)), 0)


@right("expected_improvement", "warns where std is 0, and repairs it")
def warned(mean, std, best):
    gain, std = best - np.asarray(mean), np.asarray(std)
    with np.errstate(invalid="warn", divide="warn"):
        z = np.divide(gain, std, out=np.zeros(len(gain)), where=std > 0)
    warnings.warn("some std may be 0", stacklevel=2)
    value = gain * 0.5 * (1 + erf(z / np.sqrt(2))) + std * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return np.where(std > 0, value, np.maximum(gain, 0))


@right("expected_improvement", "the standard library's normal distribution")
def standard_library(mean, std, best):
    normal = statistics.NormalDist()

    def one(m, s):
        z = (best - m) / s if s else 0.0
        return max(0.0, (best - m) * normal.cdf(z) + s * normal.pdf(z)) if s else max(0.0, best - m)

    return np.array([one(float(m), float(s)) for m, s in zip(mean, std, strict=True)])


# ---- next_configuration

EI = gaussian_process.expected_improvement


@right("next_configuration", "errors 1 - accuracy")
def with_errors(mean, std, best):
    return int(np.argmax(EI(1 - mean, std, 1 - best)))


@right("next_configuration", "minus accuracies, a numpy integer")
def with_minus(mean, std, best):
    return np.argmax(EI(-mean, std, -best))


@right("next_configuration", "the formula turned around")
def turned(mean, std, best):
    gain = mean - best
    z = gain / np.where(std > 0, std, 1)
    return int(np.argmax(np.where(std > 0, gain * stats.norm.cdf(z) + std * stats.norm.pdf(z), np.maximum(gain, 0))))


@right("next_configuration", "an average over many quantiles")
def by_quantiles(mean, std, best):
    z = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    gains = np.maximum(0, mean[:, None] + std[:, None] * z - best).mean(axis=1)
    return max(range(len(mean)), key=lambda i: gains[i])


@right("next_configuration", "candidate by candidate")
def one_by_one(mean, std, best):
    chosen, highest = 0, -1.0
    for i in range(len(mean)):
        value = float(EI(-mean[i : i + 1], std[i : i + 1], -best)[0])
        if value > highest:
            chosen, highest = i, value
    return chosen


@right("next_configuration", "the end of a sort")
def end_of_sort(mean, std, best):
    return int(np.argsort(EI(100 * (1 - mean), 100 * std, 100 * (1 - best)))[-1])


# ---- split_good_bad


@right("split_good_bad", "a mask for the good ones")
def with_mask(values, gamma):
    values = np.asarray(values, dtype=float)
    order = np.argsort(np.where(np.isfinite(values), values, np.inf), kind="stable")[: math.ceil(gamma * len(values))]
    good = order[np.isfinite(values[order])]
    is_good = np.zeros(len(values), dtype=bool)
    is_good[good] = True
    return good, np.flatnonzero(~is_good)


@right("split_good_bad", "lists")
def in_lists(values, gamma):
    count = int(np.ceil(gamma * len(values)))
    good = sorted((i for i, v in enumerate(values) if math.isfinite(v)), key=lambda i: values[i])[:count]
    return good, [i for i in range(len(values)) if i not in good]


@right("split_good_bad", "finite ones first")
def finite_ones_first(values, gamma):
    values = np.array(values)
    alive = np.flatnonzero(np.isfinite(values))
    good = alive[values[alive].argsort(kind="mergesort")][: -int(-gamma * len(values) // 1)]
    return good, np.delete(np.arange(len(values)), good)


@right("split_good_bad", "a list of two, int32")
def as_int32(values, gamma):
    values = np.asarray(values, dtype=np.float64)
    order = np.lexsort((np.arange(len(values)), values)).astype(np.int32)[: math.ceil(gamma * values.size)]
    good = np.array([i for i in order if np.isfinite(values[i])], dtype=np.int32)
    return [good, np.array(sorted(set(range(values.size)) - set(good.tolist())), dtype=np.int32)]


@right("split_good_bad", "one after the other, with a warning")
def one_after_the_other(values, gamma):
    warnings.warn("slow", stacklevel=2)
    left, good = list(range(len(values))), []
    while len(good) < math.ceil(gamma * len(values)):
        alive = [i for i in left if np.isfinite(values[i])]
        if not alive:
            break
        good.append(min(alive, key=lambda i: values[i]))
        left.remove(good[-1])
    return np.array(good, dtype=int), np.array(left, dtype=int)


# ---- propose_by_ratio


@right("propose_by_ratio", "a loop over the candidates")
def over_candidates(good, bad, candidates, rng):
    points = good.sample(rng, candidates)
    scores = [float((good.log_density(p[None]) - bad.log_density(p[None]))[0]) for p in points]
    return points[scores.index(max(scores))]


@right("propose_by_ratio", "one candidate at a time")
def one_at_a_time(good, bad, candidates, rng):
    best, highest = None, -math.inf
    for _ in range(candidates):
        point = good.sample(rng, 1)
        score = (good.log_density(point) - bad.log_density(point)).item()
        if score > highest:
            best, highest = point[0], score
    return best


@right("propose_by_ratio", "argmin of g / l")
def smallest_inverse(good, bad, candidates, rng):
    points = good.sample(rng=rng, count=candidates)
    return points[int(np.argmin(bad.log_density(points) - good.log_density(points)))]


@right("propose_by_ratio", "a stable sort")
def stable_sort(good, bad, candidates, rng):
    points = good.sample(rng, candidates)
    order = np.argsort(-(good.log_density(points) - bad.log_density(points)), kind="stable")
    return np.array(points[order[0]], copy=True)


@right("propose_by_ratio", "max with a key, a print")
def max_with_key(good, bad, candidates, rng):
    points = good.sample(rng, candidates)
    scores = np.subtract(good.log_density(points), bad.log_density(points))
    print(len(points), "candidates")
    return points[max(range(candidates), key=scores.__getitem__)]


# ---- ensemble_probabilities


@right("ensemble_probabilities", "scipy's softmax and an average")
def with_average(logits, weights):
    return np.average(softmax(logits, axis=-1), axis=0, weights=weights)


@right("ensemble_probabilities", "einsum")
def with_einsum(logits, weights):
    powers = np.exp(logits - logits.max(axis=2)[:, :, None])
    each = powers / powers.sum(axis=2)[:, :, None]
    return np.einsum("k,knc->nc", weights / weights.sum(), each)


@right("ensemble_probabilities", "in loops")
def in_loops(logits, weights):
    total, out = sum(weights), np.zeros(logits.shape[1:])
    for member, weight in zip(logits, weights, strict=True):
        for n, row in enumerate(member):
            powers = [math.exp(value - max(row)) for value in row]
            out[n] += [weight / total * power / sum(powers) for power in powers]
    return out


@right("ensemble_probabilities", "logarithms of the probabilities, normalised at the end")
def with_logarithms(logits, weights):
    mixed = np.sum(weights[:, None, None] * np.exp(log_softmax(logits, axis=-1)), axis=0)
    return mixed / mixed.sum(axis=-1, keepdims=True)


@right("ensemble_probabilities", "a matrix product")
def matrix_product(logits, weights):
    each = softmax(logits, axis=-1)
    return (np.asarray(weights) @ each.reshape(len(each), -1)).reshape(each.shape[1:]) / np.sum(weights)


# ---- policy_gradient


@right("policy_gradient", "one-hot minus softmax")
def one_hot_minus(logits, action, advantage):
    return advantage * (np.eye(len(logits))[action] - softmax(np.asarray(logits, dtype=float)))


@right("policy_gradient", "entry by entry")
def entry_by_entry(logits, action, advantage):
    highest = max(logits)
    powers = [math.exp(v - highest) for v in logits]
    return np.array([advantage * ((i == action) - p / sum(powers)) for i, p in enumerate(powers)])


@right("policy_gradient", "a row of the Jacobian of log softmax")
def by_jacobian(logits, action, advantage):
    p = reinforce.policy(logits)
    jacobian = np.eye(len(p)) - np.ones((len(p), 1)) * p
    return advantage * jacobian[action]


@right("policy_gradient", "minus p everywhere, 1 - p at the action")
def with_where(logits, action, advantage):
    p = np.exp(log_softmax(np.array(logits, dtype=float)))
    return np.where(np.arange(len(p)) == action, 1 - p, -p) * advantage


@right("policy_gradient", "by way of the gradient of the probability")
def through_probability(logits, action, advantage):
    p = reinforce.policy(logits)
    if p[action] == 0:  # too small for a float: the limit of the same expression
        return advantage * (np.eye(len(p))[action] - p)
    gradient = p[action] * (np.eye(len(p))[action] - p)
    return advantage * gradient / p[action]
