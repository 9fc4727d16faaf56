"""Verifiers of exercise 05's tasks about several models: cross-validation folds, ensemble votes, a controller's gradient."""

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.checks.core import expect, expect_close
from exercise_code.checks.verifiers import Case, call_unchanged, function, numeric_gradient

Folds = list[tuple[NDArray, NDArray]]


def kfold_indices(answer: Any, rng: np.random.Generator) -> None:
    seed = int(rng.integers(1000))
    for size, k in ((10, 5), (23, 4), (6, 6), (int(rng.integers(40, 60)), 7)):
        _read_folds(answer, size, k, f"{size} samples, {k} folds", rng=np.random.default_rng(seed))
    what = "60 samples, 3 folds"
    first, again, other = (
        _read_folds(answer, 60, 3, what, rng=np.random.default_rng(number)) for number in (seed, seed, seed + 1)
    )
    look = "All randomness comes from the rng that was handed in."
    expect(_equal(first, again), f"{what}, one seed twice", "the same folds", "other folds", look)
    look = "Files often come sorted: shuffle before you cut."
    expect(not _equal(first, other), f"{what}, two seeds", "different folds", "the same folds twice", look)
    twice = [_read_folds(answer, 60, 3, what) for _ in range(2)]
    look = "Without an rng the line above your code makes one: use it."
    expect(_equal(*twice), f"{what}, rng left out", "the same folds each time", "other folds", look)

    counts = (31, 17, 8)
    for name, labels in {
        "sorted labels": np.repeat([0, 1, 2], counts),
        "mixed labels": rng.permutation(np.repeat([0, 1, 2], counts)),
    }.items():
        what = f"stratified, {name}, {len(labels)} samples, 5 folds"
        folds = _read_folds(answer, len(labels), 5, what, labels=labels, rng=np.random.default_rng(seed))
        for label, count in enumerate(counts):
            shares = [int(np.sum(labels[val] == label)) for _, val in folds]
            wanted = f"{count // 5} or {count // 5 + 1} of the {count} samples of class {label} in every val part"
            look = "Deal out one class after the other, like cards, and go on where the last class ended."
            expect(max(shares) - min(shares) <= 1, what, wanted, shares, look)
    other = _read_folds(answer, len(labels), 5, what, labels=labels, rng=np.random.default_rng(seed + 1))
    look = "Which samples of a class go where has to be drawn too."
    expect(not _equal(folds, other), f"{what}, two seeds", "different folds", "the same folds twice", look)
    _read_folds(answer, 12, 3, "labels as a list", labels=[0, 1] * 6, rng=np.random.default_rng(seed))


def _read_folds(answer: Any, size: int, k: int, what: str, **settings: Any) -> Folds:
    """Call the answer and refuse folds that are none; return them as arrays."""
    got = answer(size, k, **settings)
    is_list = isinstance(got, list | tuple) and len(got) == k
    length = f" of {len(got)}" if isinstance(got, list | tuple) else ""
    expect(is_list, what, f"a list of {k} pairs", type(got).__name__ + length, "One pair (train, val) per fold.")
    folds: Folds = []
    for pair in got:
        is_pair = isinstance(pair, list | tuple) and len(pair) == 2
        expect(is_pair, what, "a pair (train, val) per fold", type(pair).__name__, "Two arrays of positions.")
        train, val = (np.asarray(part) for part in pair)
        for name, part in (("train", train), ("val", val)):
            whole = part.ndim == 1 and (part.dtype.kind in "iu")
            kind = f"{part.dtype} of shape {part.shape}"
            expect(whole, f"{what}, {name}", "a vector of whole numbers", kind, "Positions, not a mask.")
            in_order = bool(np.all(np.diff(part) > 0))
            expect(in_order, f"{what}, {name}", "increasing positions", part[:8].tolist(), "Sort each part.")
        folds.append((train, val))
    held_out = np.concatenate([val for _, val in folds])
    times = np.bincount(held_out[held_out < size], minlength=size)
    shown = f"from {times.min()} to {times.max()} times ({len(held_out)} in all)"
    look = "Each sample is held out in one fold, and in one only; none may be left over."
    expect(len(held_out) == size and bool((times == 1).all()), what, "each sample in val once", shown, look)
    for train, val in folds:
        shared = np.intersect1d(train, val)
        expect(not len(shared), what, "no sample in train and val at once", f"{len(shared)} of them",
               "train is everything that is not held out.")  # fmt: skip
        look = "train is everything that is not held out."
        expect(
            len(train) + len(val) == size,
            what,
            f"{size} samples in train and val together",
            len(train) + len(val),
            look,
        )
    sizes = [len(val) for _, val in folds]
    expect(max(sizes) - min(sizes) <= 1, what, "val parts whose sizes differ by at most 1", sizes,
           "Spread what is left over on the folds; do not put it all into one.")  # fmt: skip
    return folds


def _equal(a: Folds, b: Folds) -> bool:
    return all(np.array_equal(x[1], y[1]) for x, y in zip(a, b, strict=True))


def _votes(logits: NDArray, weights: NDArray) -> NDArray:
    """Probabilities of an ensemble, number by number."""
    members, samples, classes = logits.shape
    out = np.zeros((samples, classes))
    for n in range(samples):
        for k in range(members):
            row = [math.exp(float(value) - float(max(logits[k, n]))) for value in logits[k, n]]
            for c in range(classes):
                out[n, c] += float(weights[k]) / float(sum(weights)) * row[c] / sum(row)
    return out


def _vote_cases(rng: np.random.Generator) -> list[Case]:
    logits = rng.normal(0, 2, (3, 4, 5))
    sure = np.array([[[9.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]], [[0.0, 1.2, 0.0]]])
    return [
        Case("3 members with equal weights", (logits, np.ones(3)),
             look="Mean of the probabilities: softmax first, for every member and every sample by itself."),
        Case("one sure member against two", (sure, np.ones(3)),
             look="Average probabilities, not logits: a logit may be as large as it likes, a probability may not."),
        Case("weights 0.5, 0.3, 0.2", (logits, np.array([0.5, 0.3, 0.2])),
             look="Member k counts weights[k]: the weights go along the first axis."),
        Case("weights 2, 1, 1", (logits, np.array([2.0, 1.0, 1.0])),
             look="Weights need not sum to 1, but probabilities do."),
        Case("a member of weight 0", (logits, np.array([1.0, 0.0, 3.0])), look="It has no say."),
        Case("logits of 1000", (500 * logits, np.ones(3)), look="Take the largest logit of each row off before the exponential."),
        Case("one member", (logits[:1], np.array([0.7])), look="It decides alone."),
    ]  # fmt: skip


ensemble_probabilities = function(_vote_cases, _votes, "A weighted mean of the members' probabilities.", rtol=1e-6)


def policy_gradient(answer: Any, rng: np.random.Generator) -> None:
    def log_probability(logits: NDArray, action: int) -> float:
        highest = float(logits.max())
        return float(logits[action]) - highest - math.log(sum(math.exp(float(v) - highest) for v in logits))

    for what, logits, action, advantage, look in (
        ("two equal options, advantage 2", np.zeros(2), 0, 2.0,
         "The drawn option goes up, all others go down, together they add up to 0; the advantage scales everything."),
        ("four options, the last drawn", rng.normal(0, 1, 4), 3, 1.0, "It is the drawn option that gets the 1."),
        ("five options, advantage -1.5", rng.normal(0, 1, 5), 1, -1.5,
         "Worse than expected: the drawn option goes down, by the size of the advantage."),
        ("three options, advantage 0.25", rng.normal(0, 2, 3), 0, 0.25, "The whole gradient is scaled by the advantage."),
        ("three options, advantage 0", rng.normal(0, 1, 3), 2, 0.0, "As expected: nothing to learn."),
    ):  # fmt: skip
        expected = numeric_gradient(partial(log_probability, action=action), logits.copy(), advantage)
        got = call_unchanged(what, answer, logits, action, advantage)
        expect_close(what, got, expected, look + " (Expected numbers from finite differences.)", rtol=1e-5, atol=1e-7)
    far = np.array([1000.0, 0.0, -1000.0])
    look = "The exponential must not overflow: look at how `policy` does it."
    expect_close("logits of 1000 and -1000", call_unchanged("far logits", answer, far, 1, 3.0), [-3.0, 3.0, 0.0], look)
    expect_close("logits as a list", answer([0.0, 0.0], 1, 1.0), [-0.5, 0.5], "Make an array of them first.")
