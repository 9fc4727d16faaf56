"""Verifiers of exercise 04's spot-the-bug tasks: a draw on the log scale, the choice of a trial, the kept weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.checks.core import expect, expect_close
from exercise_code.checks.verifiers import call_unchanged


def draw_learning_rate(answer: Any, rng: np.random.Generator) -> None:
    for low, high in ((1e-5, 1e-1), (1e-4, 1.0)):
        draws = [answer(low, high, rng) for _ in range(1000)]
        is_number = isinstance(draws[0], float | np.floating)
        expect(is_number, "one draw", "a float", type(draws[0]).__name__, "One learning rate per call.")
        values = np.array(draws, dtype=float)
        shown = f"{values.min():.2g} to {values.max():.2g}"
        inside = (values >= low * (1 - 1e-9)) & (values <= high * (1 + 1e-9))
        expect(bool(inside.all()), f"draws from {low:g} to {high:g}", "all of them between the ends", shown,
               "The base of the exponent has to be the base of the logarithm.")  # fmt: skip
        # The count is binomial(1000, 1/2): eight standard errors, a right answer fails less than once in 10**14 runs.
        share = float(np.mean(values < np.sqrt(low * high)))
        expect(abs(share - 0.5) < 0.13, f"draws from {low:g} to {high:g}", "half of them in the lower decades",
               f"{share:.0%}", "It is the exponent that is uniform.")  # fmt: skip
        expect(len(set(draws)) > 500, "1000 draws", "nearly 1000 different numbers", len(set(draws)),
               "The exponent is no whole number.")  # fmt: skip
    pair = [answer(1e-5, 1e-1, np.random.default_rng(3)) for _ in range(2)]
    expect(pair[0] == pair[1], "two generators with one seed", "the same number", f"{pair[0]!r} and {pair[1]!r}",
           "All randomness comes from the rng that was handed in.")  # fmt: skip


def _trials(*rows: tuple[float, float]) -> list[dict[str, float]]:
    return [{"val_loss": loss, "test_accuracy": accuracy} for loss, accuracy in rows]


def pick_trial(answer: Any, rng: np.random.Generator) -> None:
    nan, infinite = float("nan"), float("inf")
    losses = rng.permutation(np.linspace(0.5, 2.5, 9))
    shuffled = [(float(loss), float(accuracy)) for loss, accuracy in zip(losses, rng.uniform(0.1, 0.6, 9), strict=True)]
    loss_look = "Small is good for a loss, and only validation values may choose."
    cases = [
        ("the best on validation is not the best on test", _trials((1.9, 0.61), (1.4, 0.38), (1.7, 0.47)), 1, loss_look),
        ("a first trial that diverged to nan", _trials((nan, 0.1), (1.2, 0.5), (1.1, 0.4)), 2,
         "Every comparison with nan is False: who starts as the best stays it."),
        ("a last trial that diverged to nan", _trials((1.2, 0.5), (1.1, 0.4), (nan, 0.1)), 1,
         "A trial whose loss is nan has lost."),
        ("a trial that diverged to inf", _trials((infinite, 0.1), (2.3, 0.2)), 1, "inf is no good loss."),
        ("a loss of exactly 0", _trials((1.0, 0.5), (0.0, 0.4), (0.5, 0.6)), 1,
         "0.0 is false in an `if`, and yet it is a loss: ask for `is None`."),
        ("the first of three is the best", _trials((1.1, 0.3), (1.2, 0.4), (1.3, 0.5)), 0,
         "Position 0 is false in an `if`, and yet it is a position: ask for `is None`."),
        ("one trial", _trials((1.5, 0.3)), 0, "The only one is the best one."),
        ("nine trials", _trials(*shuffled), [loss for loss, _ in shuffled].index(0.5), loss_look),
    ]  # fmt: skip
    for what, trials, index, look in cases:
        got = call_unchanged(what, answer, trials)
        is_index = isinstance(got, int | np.integer) and not isinstance(got, bool)
        expect(is_index, what, "the position of a trial", type(got).__name__, "Return its index in the list.")
        expect(bool(got == index), what, f"position {index}", f"position {got}", look)


def keep_best_weights(answer: Any, rng: np.random.Generator) -> None:
    nan = float("nan")
    for what, losses, best in (
        ("losses 2.0, 1.2, 1.6, 1.9", (2.0, 1.2, 1.6, 1.9), 1),
        ("losses that fall to the end", (2.0, 1.5, 1.0), 2),
        ("losses that only rise", (1.0, 1.5, 2.0), 0),
        ("losses 2.0, 1.5, nan, 1.7", (2.0, 1.5, nan, 1.7), 1),
    ):
        params = {"W1": rng.standard_normal((3, 2)), "b1": rng.standard_normal(2)}
        seen: list[dict[str, NDArray]] = []
        epochs = [_epoch(loss, seen, rng) for loss in losses]
        kept = answer(params, epochs)
        for _ in range(2):  # the second time after the caller has trained on
            is_dict = isinstance(kept, dict) and list(kept) == ["W1", "b1"]
            expect(is_dict, what, "a dict with W1 and b1", kept, "Same names as params.")
            expect(len(seen) == len(losses), what, f"{len(losses)} epochs", f"{len(seen)}", "Train every epoch once.")
            for name, array in seen[best].items():
                expect_close(f"{what}, {name}", kept[name], array,
                             f"These are the weights after epoch {best + 1}. Training goes on in the very same arrays: "
                             "what does your dict hold?")  # fmt: skip
            for array in params.values():
                array += 1.0


def _epoch(
    loss: float, seen: list[dict[str, NDArray]], rng: np.random.Generator
) -> Callable[[dict[str, NDArray]], float]:
    """Make one epoch: it changes the arrays in place, as an optimizer does, and returns the validation loss."""

    def run(params: dict[str, NDArray]) -> float:
        for array in params.values():
            array += rng.standard_normal(array.shape)
        seen.append({name: np.array(array) for name, array in params.items()})
        return loss

    return run
