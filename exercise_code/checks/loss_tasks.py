"""How exercise 02's losses are checked, and the names that a student gives to prepared loss curves."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.checks.core import CheckFailed, expect, expect_close
from exercise_code.checks.verifiers import call_unchanged, expect_dtype, numeric_gradient
from exercise_code.loss_curves import NAMES, Curve, prepared_curves


def _row(scores: Sequence[float]) -> list[float]:
    """Log-probabilities of one sample, in Python floats."""
    top = max(scores)
    normaliser = math.log(math.fsum(math.exp(score - top) for score in scores))
    return [score - top - normaliser for score in scores]


def _log_p(logits: NDArray) -> NDArray:
    return np.array([_row([float(z) for z in row]) for row in logits])


def _silently(what: str, answer: Callable[..., Any], *args: Any) -> Any:
    try:
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            return answer(*args)
    except FloatingPointError as error:
        raise CheckFailed(
            f"{what}: expected no overflow and no log of 0 on the way, got {error!s}. Make the largest score of each row 0 "
            "before the first exponential, and never take the log of a single probability."
        ) from None


def log_softmax(answer: Any, rng: np.random.Generator) -> None:
    for shape in ((3, 4), (2, 3), (1, 5), (5, 1), (4, 4)):
        logits = 3 * rng.standard_normal(shape)
        what = f"logits of shape {shape}"
        look = "z minus the log of the sum of exp(z), where the sum runs over the classes of one sample (axis 1)."
        expect_close(what, call_unchanged(what, answer, logits), _log_p(logits), look)
    # float32 numbers near 1000 are 6e-5 apart
    for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 1e-3)):
        for rows in (
            [[1000.0, 0.0, 0.0]],
            [[0.0, -1000.0]],
            [[-1000.0, -1001.0], [1000.0, 1001.0]],
            [[300.0, 0.0], [1.0, 2.0]],
        ):
            logits = np.array(rows, dtype=dtype)
            what = f"logits {rows} in {np.dtype(dtype)}"
            out = _silently(what, answer, logits)
            look = (
                "A constant that is taken from all scores of a row changes no probability: take each row's own maximum."
            )
            expect_close(what, out, _log_p(logits), look, rtol=tolerance, atol=tolerance)
            expect_dtype(what, out, dtype)


def cross_entropy(answer: Any, rng: np.random.Generator) -> None:
    for n, classes in ((4, 3), (1, 5), (6, 2), (3, 3)):
        log_p, labels = _log_p(2 * rng.standard_normal((n, classes))), rng.integers(classes, size=n)
        labels[-1] = classes - 1
        what = f"{n} sample(s), {classes} classes"
        _one_cross_entropy(
            answer, log_p, labels, what, "The mean over the samples of minus log_p at each sample's own label."
        )
    half = np.log([[0.5, 0.5], [0.25, 0.75]])
    look = "The mean over samples, not the sum, and not over all entries."
    _one_cross_entropy(answer, half, np.array([0, 0]), "probabilities 0.5 and 0.25 of the true classes", look)
    certain = np.array([[0.0, -np.inf, -np.inf], [-np.inf, 0.0, -np.inf]])
    look = "A wrong class of probability 0 costs nothing: pick the entry of the true class; 0 * -inf is nan."
    _one_cross_entropy(answer, certain, np.array([0, 1]), "log-probabilities of 0 and -inf, all right", look)


def _one_cross_entropy(answer: Any, log_p: NDArray, labels: NDArray, what: str, look: str) -> None:
    expected = math.fsum(-float(log_p[n, label]) for n, label in enumerate(labels)) / len(labels)
    expect_close(what, call_unchanged(what, answer, log_p, labels), expected, look)


def cross_entropy_gradient(answer: Any, rng: np.random.Generator) -> None:
    for n, classes in ((4, 3), (1, 5), (5, 2), (3, 3)):
        logits, labels = rng.standard_normal((n, classes)), rng.integers(classes, size=n)
        p, what = np.exp(_log_p(logits)), f"{n} sample(s), {classes} classes"
        got = call_unchanged(what, answer, p, labels)

        def loss(z: NDArray, labels: NDArray = labels) -> float:
            return math.fsum(-row[label] for row, label in zip(_log_p(z), labels, strict=True)) / len(labels)

        slopes = numeric_gradient(loss, logits)  # central differences, good to about 1e-9
        look = "Compare with the formula above (numbers from finite differences of the loss)."
        _many_times(what, got, slopes)
        expect_close(what, got, slopes, look, rtol=1e-5, atol=1e-7)
        again = answer(p.copy(), labels)
        expect(
            np.array_equal(got, again),
            f"{what}, second call",
            "the same gradient",
            "another one",
            "Keep nothing between calls.",
        )
    p = np.array([[0.5, 0.5]], dtype=np.float32)
    expect_dtype("float32 probabilities", answer(p, np.array([0])), np.float32)
    by_hand = np.array([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]]), np.array([2, 1])
    look = "Only the entry of the true class is different; then every entry by the number of samples."
    expect_close("two samples by hand", answer(*by_hand), [[0.1, 0.15, -0.25], [0.05, -0.1, 0.05]], look)


def _many_times(what: str, got: Any, expected: NDArray) -> None:
    """Say it when a gradient is right but for one factor."""
    if not isinstance(got, np.ndarray) or got.shape != expected.shape or got.dtype.kind != "f" or not np.any(expected):
        return
    factor = float(np.sum(got * expected) / np.sum(expected**2))
    if abs(factor - 1) > 1e-3 and np.allclose(got, factor * expected, rtol=1e-4, atol=1e-7):
        text = f"every entry {factor:.4g} times as large"
        look = "Which way does the loss go?" if factor < 0 else "What is the value divided by, and what the gradient?"
        expect(False, what, "the gradient of the mean", text, look)


def _mean_square_from(truth: NDArray) -> Callable[[NDArray], float]:
    return lambda out: float(np.mean((out - truth) ** 2))


def mse_gradient(answer: Any, rng: np.random.Generator) -> None:
    for shape in ((4,), (3, 2), (1, 1), (8, 1)):
        out, truth = rng.standard_normal(shape), rng.standard_normal(shape)
        what = f"outputs of shape {shape}"
        got = call_unchanged(what, answer, out, truth)
        slopes = numeric_gradient(_mean_square_from(truth), out)
        _many_times(what, got, slopes)
        look = "Numbers from finite differences of the value: which way does the loss go when an output grows?"
        expect_close(what, got, slopes, look, rtol=1e-5, atol=1e-7)
    out = np.array([[1.0, 2.0]], dtype=np.float32)
    expect_dtype("float32 outputs", answer(out, np.zeros((1, 2), dtype=np.float32)), np.float32)


def loss_curves(answer: Any, rng: np.random.Generator) -> None:
    """Names of the prepared curves; what each curve shows is read off its numbers."""
    names, curves = answer(), prepared_curves()
    expect(isinstance(names, dict), "your result", "a dict", type(names).__name__, 'Return {"A": "...", ...}.')
    wanted = "one name for each of " + ", ".join(curves)
    got = ", ".join(map(str, names))
    expect(set(names) == set(curves), "your letters", wanted, got, "Every curve, and no other.")
    for letter, name in names.items():
        known = isinstance(name, str) and name in NAMES
        expect(known, f"curve {letter}", f"one of {', '.join(NAMES)}", name, "Copy the name from the list.")
    for letter in sorted(names):
        seen = _what_is_seen(curves[letter])
        if names[letter] not in seen:
            raise CheckFailed(
                f"curve {letter}: expected another name, got {names[letter]!r}. {_contradiction(curves[letter], names[letter])}"
            )


def _what_is_seen(curve: Curve) -> set[str]:
    """Return the names that fit the numbers of a curve."""
    return {name for name in NAMES if not _contradiction(curve, name)}


def _contradiction(curve: Curve, name: str) -> str:
    """Say what of a curve does not fit a name; empty when all does."""
    train, val = np.array(curve.train), np.array(curve.val)
    jumps = float(np.mean(np.diff(val) > 0.03 * val[:-1]))  # share of epochs that ended well above the one before
    fallen = float(1 - train[-1] / train[0])
    pace = float((train[-6] - train[-1]) / (train[0] - train[5])) if fallen > 0.02 else 0.0  # late against early
    turned = bool(val[-1] > 1.05 * val.min() and np.argmin(val) < len(val) / 2)
    shaky = (jumps > 0.25, "Its validation loss leaps from one epoch to the next: what throws it about?")
    flat = (fallen < 0.02, "Its training loss is the same in the first and in the last epoch.")
    same_images = (
        bool(val[-1] < train[-1]),
        "At the end its validation loss lies below the training loss. On which images?",
    )
    facts = {
        "good": [
            flat, shaky, same_images,
            (turned, "Does its validation loss stay near its lowest value?"),
            (val[-1] > 2, "Look at the scale: the best of these runs end near 1.6."),
        ],
        "learning rate too high": [
            flat, (jumps < 0.25, "A rate that is too high throws the loss about from epoch to epoch; this one is steady."),
        ],
        "learning rate too low": [
            flat, shaky, same_images,
            (val[-1] < 2, "It comes a long way in the first epochs and then levels off; small steps would still be far up."),
            (pace < 0.1, "It has come to rest; small steps would still be on their way."),
            (turned, "Small steps would not have passed the lowest point yet."),
        ],
        "overfitting": [
            flat, shaky, same_images,
            (not turned, "Where is its validation loss lowest? Overfitting turns it round while the training loss falls on."),
        ],
        "nothing is learned": [(fallen > 0.02, "Its training loss falls: compare the first epoch with the last.")],
        "validated on the training images": [
            flat, shaky,
            (val[-1] > train[-1], "Its validation loss ends above the training loss, as it should on images that are new."),
        ],
    }  # fmt: skip
    return next((text for wrong, text in facts[name] if wrong), "")
