"""Checks of exercise 06 about hyperopt itself: its ranges, its records, its early stop.

They run hyperopt's own `fmin` on objectives that note what they were given.
"""

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.checks.core import expect

DRAWS = 4000
FAR = 0.045  # of distribution functions; by chance, once in a million checks


def hyperopt_draw(answer: Any, rng: np.random.Generator) -> None:
    low, width = float(rng.uniform(-3, 0)), float(rng.uniform(1, 4))
    high = low + width
    drawn = _draws(answer, "uniform", (low, high), rng)
    _inside(f"uniform, ({low:.2f}, {high:.2f})", drawn, low, high, "")
    _distributed("uniform", drawn, lambda v: (v - low) / width, "All numbers between the bounds are equally likely.")

    low, high = math.log(1e-4), math.log(1e-1)
    drawn = _draws(answer, "loguniform", (low, high), rng)
    look = "The arguments are logarithms already, and natural ones: which function undoes them?"
    _inside("loguniform, (log 1e-4, log 1e-1)", drawn, 1e-4, 1e-1, look)
    look = "Between 1e-4 and 1e-3 should lie as many as between 1e-2 and 1e-1: what is uniform here is the logarithm."
    _distributed("loguniform", drawn, lambda v: (np.log(v) - low) / (high - low), look)

    for low, high, q in ((16.0, 64.0, 16.0), (0.0, 1.0, 0.25)):
        what = f"quniform, ({low:g}, {high:g}, {q:g})"
        drawn = _draws(answer, "quniform", (low, high, q), rng)
        off = float(np.abs(drawn / q - np.round(drawn / q)).max())
        look = "Divide by q, round to a whole number, multiply by q again."
        expect(
            off < 1e-9,
            what,
            f"multiples of {q:g}",
            f"{drawn[np.argmax(np.abs(drawn / q - np.round(drawn / q)))]:g}",
            look,
        )
        _inside(what, drawn, low, high, look)
        count = round((high - low) / q)
        for k in range(count + 1):
            share, wanted = float(np.mean(np.isclose(drawn, low + k * q))), (0.5 if k in (0, count) else 1.0) / count
            look = "Round a uniform number to the *nearest* multiple: the two ends then get half as much as the others."
            expect(
                abs(share - wanted) < FAR, f"{what}: share of {low + k * q:g}", f"{wanted:.0%}", f"{share:.0%}", look
            )

    options = ["adam", "sgd", {"nested": 1}]
    drawn = _draws(answer, "choice", (options,), rng)
    what = "choice among 3 options"
    got = sorted({float(value) for value in drawn})
    expect(
        got == [0.0, 1.0, 2.0],
        what,
        "the indices 0, 1 and 2",
        got,
        "Every option can be drawn, and the first has index 0.",
    )
    for index in range(3):
        share = float(np.mean(drawn == index))
        expect(
            abs(share - 1 / 3) < FAR, f"{what}: share of index {index}", "33 %", f"{share:.0%}", "All equally likely."
        )

    with contextlib.suppress(ValueError):
        got = answer("normal", (0.0, 1.0), rng)
        expect(False, 'kind "normal"', "a ValueError", got, "Refuse kinds that are not in the list.")


def _draws(answer: Any, kind: str, arguments: tuple[Any, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    seed = int(rng.integers(2**31))
    first, again = np.random.default_rng(seed), np.random.default_rng(seed)
    values = [answer(kind, arguments, first) for _ in range(DRAWS)]
    for value in values[:50]:
        is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        is_number = is_number or (isinstance(value, np.ndarray) and value.ndim == 0)
        look = "hyperopt records the index, not the option." if kind == "choice" else "One number for each call."
        expect(is_number, f"{kind}, {arguments}", "a number", repr(value)[:60], look)
    same = [answer(kind, arguments, again) for _ in range(5)]
    look = "Draw from rng, and from nothing else."
    expect(values[:5] == same, f"{kind}: the same seed again", values[:5], same, look)
    return np.array(values, dtype=float)


def _inside(what: str, drawn: NDArray, low: float, high: float, look: str) -> None:
    slack = 1e-9 * max(abs(low), abs(high))
    fine = bool(np.all((drawn >= low - slack) & (drawn <= high + slack)))
    look = look or "The first argument is the lower bound, the second the upper one."
    expect(fine, what, f"numbers from {low:.4g} to {high:.4g}", f"from {drawn.min():.4g} to {drawn.max():.4g}", look)


def _distributed(what: str, drawn: NDArray, cdf: Callable[[NDArray], NDArray], look: str) -> None:
    """Kolmogorov and Smirnov's distance between the draws and a distribution function."""
    height = cdf(np.sort(drawn))
    steps = np.arange(len(drawn) + 1) / len(drawn)
    distance = float(max(np.max(steps[1:] - height), np.max(height - steps[:-1])))
    expect(distance < FAR, f"{what}: distance from the right distribution", f"below {FAR}", f"{distance:.2f}", look)


def learning_rate_space(answer: Any, rng: np.random.Generator) -> None:
    from hyperopt.pyll.stochastic import sample

    for label, low, high in (("lr", 1e-4, 1e-1), ("weight_decay", 1e-6, 1e-2), ("scale", 0.5, 8.0)):
        what = f'("{label}", {low:g}, {high:g})'
        expression = answer(label, low, high)
        look = "Return an expression of hyperopt, not a number: hp.loguniform(...)."
        expect(hasattr(expression, "pos_args"), what, "an hp.* expression", type(expression).__name__, look)
        _, trials = _search(lambda value: 0.0, expression, 1, rng)
        labels = sorted(trials.trials[0]["misc"]["vals"])
        expect(
            labels == [label], f"{what}: label", [label], labels, "The label is the first argument of the hp function."
        )
        draws = np.random.default_rng(int(rng.integers(2**31)))
        values = np.array([sample(expression, draws) for _ in range(250)], dtype=float)
        fine = bool((values > low * (1 - 1e-9)).all() and (values < high * (1 + 1e-9)).all())
        look = (
            "hyperopt applies exp to what it draws. To which numbers would it have to be applied to give low and high?"
        )
        expect(
            fine, f"{what}: values", f"from {low:g} to {high:g}", f"from {values.min():.3g} to {values.max():.3g}", look
        )
        middle = math.sqrt(low * high)
        share = float(np.mean(values < middle))
        look = "As many values below as above the geometric mean of the bounds."
        expect(abs(share - 0.5) < 0.16, f"{what}: share below {middle:.3g}", "50 %", f"{share:.0%}", look)
        share = float(np.mean(values < low * (high / low) ** 0.1))
        look = "Uniform in the logarithm: a tenth of the values in every tenth of the way."
        expect(
            abs(share - 0.1) < 0.1 and len(set(values.tolist())) > 200,
            f"{what}: share in the lowest tenth",
            "10 %",
            f"{share:.0%}",
            look,
        )


def _search(
    objective: Callable[[Any], Any], space: Any, count: int, rng: np.random.Generator, stop: Any = None
) -> tuple[list[Any], Any]:
    """Run hyperopt's random search; return what the objective was given, and the trials."""
    import hyperopt

    given: list[Any] = []

    def noted(config: Any) -> Any:
        given.append(config)
        return objective(config)

    trials = hyperopt.Trials()
    with contextlib.suppress(hyperopt.exceptions.AllTrialsFailed):
        hyperopt.fmin(
            noted, space, algo=hyperopt.rand.suggest, max_evals=count, trials=trials, show_progressbar=False, verbose=False,
            rstate=np.random.default_rng(int(rng.integers(2**31))), early_stop_fn=stop, return_argmin=False,
            allow_trials_fmin=False,
        )  # fmt: skip
    return given, trials


def best_settings(answer: Any, rng: np.random.Generator) -> None:
    from hyperopt import hp

    plain = {
        "lr": hp.loguniform("lr", math.log(1e-4), math.log(1e-1)),
        "width": hp.choice("width", [64, 128, 256]),
        "optimizer": hp.choice("optimizer", ["adam", "sgd"]),
    }
    nested = {
        "net": hp.choice("kind", [
            {"name": "wide", "width": hp.quniform("width", 64, 512, 64)},
            {"name": "deep", "depth": hp.choice("depth", [2, 3, 5]), "dropout": hp.uniform("dropout", 0.0, 0.5)},
        ]),
        "lr": hp.loguniform("lr", math.log(1e-4), math.log(1e-1)),
    }  # fmt: skip
    fail, nan, inf = None, math.nan, math.inf
    for what, space, losses in (
        ("a flat space", plain, [0.5, 0.3, 0.9, 0.2, 0.4, 0.6]),
        ("a flat space", plain, [0.1, 0.3, 0.9, 0.2]),
        ("a space with a choice of networks", nested, [0.5, 0.4, 0.1, 0.7]),
        ("a space with a choice of networks", nested, [0.5, 0.1, 0.4, 0.7]),
        ("a space with a choice of networks", nested, [0.3, 0.1, 0.4, 0.05]),
        ("negative losses", plain, [-0.5, -0.9, 0.0, -0.2]),
        ("one failed trial", plain, [0.5, fail, 0.3, 0.4]),
        ("the first trial failed, then ties", plain, [fail, 0.4, 0.2, 0.2]),
        ("one trial with a loss of nan", plain, [0.5, nan, 0.3, 0.4]),
        ("the first trial gave nan", plain, [nan, 0.5, 0.3, 0.4]),
        ("one trial with a loss of -inf", plain, [0.5, -inf, 0.3, 0.4]),
    ):
        given, trials = _scripted(losses, space, rng)
        usable = [loss if loss is not fail and math.isfinite(loss) else math.inf for loss in losses]
        best = usable.index(min(usable))
        got = answer(space, trials)
        what = f"{what}, losses {['failed' if loss is fail else loss for loss in losses]}"
        expect(got == given[best], what, f"{given[best]} (trial {best})", got, _why(got, given, best))
    hopeless: list[list[float | None]] = [[fail, fail], [nan, fail, inf]]
    for unusable in hopeless:
        _, trials = _scripted(unusable, plain, rng)
        try:
            got = answer(plain, trials)
        except ValueError:
            continue
        expect(False, f"losses {unusable}, None meaning failed", "a ValueError", got, "No trial is left: say so.")


def _why(got: Any, given: list[Any], best: int) -> str:
    others = [number for number, config in enumerate(given) if number != best and config == got]
    if others:
        return f"That is trial {others[0]}. Lowest finite loss, among those that did not fail, the first of equals."
    if isinstance(got, dict) and set(got) == set(given[best]):
        return "Indices are not values, and numbers stay as they are: see space_eval."
    return "In the form in which the objective gets them, with what the trial did not have left out: see space_eval."


def _scripted(losses: Any, space: Any, rng: np.random.Generator, stop: Any = None) -> tuple[list[Any], Any]:
    """A search that gives these losses until it is stopped; None is a failed trial."""
    from hyperopt import STATUS_FAIL, STATUS_OK

    left = iter(losses)

    def objective(config: Any) -> dict[str, Any]:
        loss = next(left)
        return {"status": STATUS_FAIL} if loss is None else {"status": STATUS_OK, "loss": loss}

    return _search(objective, space, len(losses), rng, stop)


def stop_when_stuck(answer: Any, rng: np.random.Generator) -> None:
    from hyperopt import hp

    space = hp.uniform("x", 0, 1)
    fail, nan, inf = None, math.nan, math.inf
    for patience in (3, 1):
        stop = answer(patience)
        look = "Return the inner function itself, without calling it."
        expect(callable(stop), f"stop_when_stuck({patience})", "a function", type(stop).__name__, look)
        for what, losses, wanted in (
            ("steady progress", [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0], {3: 7, 1: 7}),
            ("no progress after the first", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], {3: 4, 1: 2}),
            ("progress just in time", [5.0, 6.0, 6.0, 4.0, 5.0, 5.0, 5.0, 1.0], {3: 7, 1: 2}),
            ("below the trial before, but not below the best", [1.0, 9.0, 8.0, 7.0, 6.0, 5.0], {3: 4, 1: 2}),
            ("equal losses", [2.0, 2.0, 2.0, 2.0, 2.0, 2.0], {3: 4, 1: 2}),
            ("negative losses", [-1.0, -2.0, -3.0, -3.0, -2.0, -1.0, -4.0], {3: 6, 1: 4}),
            ("tiny progress", [1.0, 1 - 1e-9, 1 - 2e-9, 1 - 3e-9, 1 - 4e-9], {3: 5, 1: 5}),
            ("failed trials", [3.0, fail, fail, 2.0, fail, fail, fail, 1.0], {3: 7, 1: 2}),
            ("the first trials failed", [fail, fail, 3.0, 2.0, fail, 1.0, 0.5], {3: 7, 1: 1}),
            ("all trials failed", [fail, fail, fail, fail, fail], {3: 3, 1: 1}),
            ("losses of nan", [nan, 3.0, nan, nan, 2.0, nan, nan, nan, 1.0], {3: 8, 1: 1}),
            ("losses of -inf and inf", [5.0, -inf, 4.0, 3.0, inf, inf, 2.0], {3: 7, 1: 2}),
        ):
            got = len(_scripted(losses, space, rng, stop)[0])
            shown = ["failed" if loss is fail else loss for loss in losses]
            look = (
                "Count the trials since the lowest finite loss so far. One function serves many searches: what it remembers "
                "comes from trials, or from the state that it gets back."
            )
            expect(
                got == wanted[patience],
                f"{what}, patience {patience}, losses {shown}: trials made",
                wanted[patience],
                got,
                look,
            )
