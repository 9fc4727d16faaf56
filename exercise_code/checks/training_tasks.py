"""How exercise 02's parts of a training loop are checked: with a small model, loss and optimizer that keep a diary."""

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.checks.core import CheckFailed, expect, expect_close
from exercise_code.checks.verifiers import Case, call_unchanged

NAN = math.nan


class _Model:
    """y = X w for one weight vector; reg changes with every forward, as w does; noisy in training mode, as dropout is."""

    def __init__(self, w: NDArray, reg: float = 0.0, noise: float = 0.0):
        self.params, self.grads, self.reg = {"W1": w.copy()}, {"W1": np.zeros_like(w)}, {"W1": -99.0}
        self.strength, self.noise, self.training = reg, noise, True
        self.diary: list[str] = []
        self.modes: list[bool] = []

    def forward(self, X: NDArray) -> NDArray:
        self.diary.append("forward")
        self.modes.append(self.training)
        w = self.params["W1"]
        self.reg = {"W1": self.strength * float(np.sum(w**2)), "W2": self.strength}
        return X @ w + (self.noise if self.training else 0.0)

    __call__ = forward

    def train(self) -> None:
        self.training = True

    def eval(self) -> None:
        self.training = False


def _square(out: NDArray, truth: NDArray) -> float:
    """Mean of the squared error, weighted so that exchanging the two arguments shows."""
    return float(np.mean((out - truth) ** 2 + 0.25 * out))


class _Optimizer:
    """Gradient descent by hand that notes who called it, with what, and when."""

    def __init__(self, model: _Model, X: NDArray, y: NDArray):
        self.model, self.X, self.y = model, X, y
        self.given: list[tuple[NDArray, NDArray]] = []

    def backward(self, out: NDArray, truth: NDArray) -> None:
        self.model.diary.append("backward")
        self.given.append((np.array(out), np.array(truth)))
        slope = (2 * (np.asarray(out) - truth) + 0.25) / len(self.y)
        self.model.grads["W1"] = self.X.T @ slope

    def step(self) -> None:
        self.model.diary.append("step")
        self.model.params["W1"] -= 0.05 * self.model.grads["W1"]


def train_step(answer: Any, rng: np.random.Generator) -> None:
    for reg in (0.0, 0.75):
        X, y, w = rng.standard_normal((5, 3)), rng.standard_normal(5) + 1, rng.standard_normal(3)
        model = _Model(w, reg)
        helper = _Optimizer(model, X, y)
        what = "a step with regularisation" if reg else "a step without regularisation"
        result = call_unchanged(
            what, lambda X, y, model=model, helper=helper: answer(model, _square, helper, X, y), X, y
        )
        calls = [call for call in model.diary if call != "forward"]
        look = "Gradients first, then the step that uses them; each exactly once."
        expect(calls == ["backward", "step"], f"{what}, calls of the optimizer", "backward, then step", calls, look)
        look = (
            "One forward pass gives the predictions for the loss and for the gradients; a second one doubles the work."
        )
        forwards = model.diary.count("forward")
        expect(forwards == 1, f"{what}, forward passes", 1, forwards, look)
        expect(model.diary[0] == "forward", f"{what}, first call", "forward", model.diary[0], look)
        out, truth = helper.given[0]
        expect_close(f"{what}, predictions given to backward", out, X @ w, "backward(y_pred, y), in this order.")
        expect_close(f"{what}, targets given to backward", truth, y, "backward(y_pred, y), in this order.")
        moved = w - 0.05 * X.T @ ((2 * (X @ w - y) + 0.25) / 5)
        expect_close(
            f"{what}, weights after it",
            model.params["W1"],
            moved,
            "The optimizer changes the weights; leave them to it.",
        )
        parts = (_square(X @ w, y), reg * float(np.sum(w**2)) + reg)
        look = "The mean loss of the batch" + (
            ", plus every entry of model.reg as it is after forward." if reg else "."
        )
        expect_close(f"{what}, the loss returned", result, parts[0] + parts[1], look)


def _batches(rng: np.random.Generator, w: NDArray, sizes: tuple[int, ...]) -> tuple[list[dict[str, NDArray]], float]:
    batches, total = [], 0.0
    for size in sizes:
        X, y = rng.standard_normal((size, 3)), rng.standard_normal(size) + size
        batches.append({"image": X, "label": y})
        total += sum((v - t) ** 2 + 0.25 * v for v, t in zip(X @ w, y, strict=True))
    return batches, total / sum(sizes)


def dataset_loss(answer: Any, rng: np.random.Generator) -> None:
    for sizes in ((4, 4), (4, 4, 1), (1, 7), (3,)):
        w = rng.standard_normal(3)
        batches, expected = _batches(rng, w, sizes)
        what = f"batches of {', '.join(map(str, sizes))}"
        model = _Model(w, reg=5.0, noise=3.0)
        got = call_unchanged(what, lambda batches, model=model: answer(model, _square, batches), batches)
        look = "model.eval() before the first batch: dropout and the like have to be off."
        expect(not any(model.modes), f"{what}, the model's mode in forward", "evaluation", "training", look)
        look = "Every sample counts once: weight the mean of a batch with its size. No regularisation here."
        expect_close(what, got, expected, look)
        expect(
            model.training,
            f"{what}, the model's mode afterwards",
            "training",
            "evaluation",
            "Switch back: model.train().",
        )
        look = "One forward pass per batch, and nothing is learned."
        expect(model.diary == ["forward"] * len(sizes), f"{what}, what the model had to do", f"{len(sizes)} forward",
               f"{model.diary}", look)  # fmt: skip
        expect_close(f"{what}, weights afterwards", model.params["W1"], w, look)

    def once() -> Iterator[dict[str, NDArray]]:
        yield from batches

    look = "A generator can be read only once and has no len: one loop over batches has to do."
    expect_close("batches from a generator", answer(_Model(w), _square, once()), expected, look)
    try:
        got = answer(_Model(w), _square, [])
    except (ValueError, ZeroDivisionError):
        return
    raise CheckFailed(f"no batches: expected a ValueError, got {got!r}. Nothing has no mean; refuse it.")


def best_weights(answer: Any, rng: np.random.Generator) -> None:
    _remembers(answer, (3.0, 1.0, 2.0, 4.0), "losses 3, 1, 2, 4")
    _remembers(answer, (2.0, 2.0, 1.0, 1.0), "losses 2, 2, 1, 1 (equal is no better)")
    _remembers(answer, (3.0, NAN, 2.0, NAN, 5.0), "losses 3, nan, 2, nan, 5")
    _remembers(answer, (NAN, NAN, 7.0, 8.0), "losses nan, nan, 7, 8")
    _remembers(answer, (1.0, 0.0, 0.5), "losses 1, 0, 0.5 (0 is a loss)")
    _remembers(answer, (math.inf, 4.0, 4.5), "losses inf, 4, 4.5")
    _remembers(answer, (1.0, -2.0, -1.0), "losses 1, -2, -1")
    _remembers(answer, tuple(rng.uniform(0, 5, 9)), "9 random losses")
    for losses in ((), (NAN, math.inf)):
        best, params = answer(), _params(1.0)
        for loss in losses:
            best.update(loss, params)
        best.restore(params)
        what = f"restore after {'nan and inf' if losses else 'no epoch at all'}"
        look = "There are no best weights yet: leave params alone."
        expect(sorted(params) == ["W1", "b1"], what, "params as they were", f"{sorted(params)}", look)
        expect_close(what, params["W1"], _params(1.0)["W1"], look)


def _params(value: float) -> dict[str, NDArray]:
    return {"W1": np.full((2, 3), value, dtype=np.float32), "b1": np.full(3, -value)}


def _remembers(answer: Any, losses: tuple[float, ...], what: str) -> None:
    best, params = answer(), _params(0.0)
    lowest, waited, at = math.inf, 0, 0.0
    for epoch, loss in enumerate(losses, start=1):
        for w, new in zip(params.values(), _params(float(epoch)).values(), strict=True):
            w[...] = new  # in place, as an optimizer does
        best.update(loss, params)
        after = f"{what}, after epoch {epoch}"
        if math.isfinite(loss) and loss < lowest:
            lowest, waited, at = loss, 0, float(epoch)
        else:
            waited += 1
        expect_close(
            f"{after}, best.loss",
            best.loss,
            lowest,
            "The lowest finite loss so far; nan and inf never count as better.",
        )
        expect_close(
            f"{after}, best.waited", best.waited, waited, "Epochs in a row without a new best; back to 0 with each."
        )
        expect_close(
            f"{after}, the weights in training", params["W1"], _params(epoch)["W1"], "update only looks at params."
        )
    look = "These are later weights: the optimizer changes arrays in place, and an assignment makes no copy."
    held = best.params
    is_dict = isinstance(held, dict) and sorted(held) == ["W1", "b1"]
    expect(is_dict, f"{what}, best.params", "a dict with W1 and b1", type(held).__name__, "One copy for each name.")
    expect_close(f"{what}, best.params['W1'] (the value says the epoch)", held["W1"], _params(at)["W1"], look)
    expect_close(f"{what}, best.params['b1']", held["b1"], _params(at)["b1"], look)
    best.restore(params)
    look = "Put them into the dict that was given, under their names."
    for name, w in _params(at).items():
        expect_close(f"{what}, params[{name!r}] after restore", params.get(name), w, look)
    expect(
        params["W1"].dtype == np.float32,
        f"{what}, dtype after restore",
        "float32",
        f"{params['W1'].dtype}",
        "Keep the dtype.",
    )
    for w in params.values():
        w += 100  # training goes on
    look = "After restore, training goes on in params and must not reach the copies you keep: copy once more."
    expect_close(f"{what}, best.params['W1'] after training went on", best.params["W1"], _params(at)["W1"], look)
    best.restore(params)
    expect_close(f"{what}, second restore", params["b1"], _params(at)["b1"], look)


def run_epochs(answer: Any, rng: np.random.Generator) -> None:
    tail = "the loop has to look at best.waited after each epoch."
    cases: list[tuple[tuple[float, ...], int, int | None, str, int, str]] = [
        ((5, 4, 3, 2, 1), 5, None, "epochs", 5, "Nothing went wrong here."),
        ((5, 6, 7, 8, 9, 10), 6, None, "epochs", 6, "Without patience it never stops early."),
        ((5, 4, 6, 7, 3, 2), 6, 2, "patience", 4, f"Two epochs in a row were no better: {tail}"),
        ((5, 6, 4, 3, 2, 1), 6, 1, "patience", 2, f"One epoch that was no better is enough: {tail}"),
        ((5, 4, 6, 3, 7, 2, 8, 9, 1, 0), 10, 2, "patience", 8, "A new best starts the count anew: two in a row."),
        ((5, 6, 7, 4, 3, 2, 1, 0), 8, 3, "epochs", 8, "Two are fewer than three."),
        ((5, 6, 7, 8, 9), 2, 3, "epochs", 2, "Never more epochs than asked for."),
        ((5, NAN, 3, 2), 4, None, "diverged", 2, "After nan no further epoch can help, with or without patience."),
        ((5, 4, math.inf, 2), 4, 3, "diverged", 3, "After inf no further epoch can help, with or without patience."),
        ((-math.inf, 4), 2, None, "diverged", 1, "-inf is no loss either."),
        ((), 0, 2, "epochs", 0, "No epoch was asked for."),
        (tuple(float(x) for x in -np.arange(int(rng.integers(3, 30)))), 500, 1, "diverged", -1, "nan ended it."),
    ]  # fmt: skip
    for losses, epochs, patience, reason, count, look in cases:
        _loop(answer, losses, epochs, patience, reason, len(losses) + 1 if count < 0 else count, look)
    look = "waited is left from an earlier run: look at it only after an epoch."
    _loop(answer, (3, 2, 1), 3, 2, "epochs", 3, look, waited=2, by_name=True)


def _loop(
    answer: Any, losses: tuple[float, ...], epochs: int, patience: int | None, reason: str, count: int, look: str,
    waited: int = 0, by_name: bool = False,
) -> None:  # fmt: skip
    best, lowest = SimpleNamespace(waited=waited, loss=math.inf, params=None), [math.inf]
    done: list[float] = []
    shown = f"losses {', '.join(f'{x:g}' for x in losses[:10]) or 'none'}; epochs={epochs}, patience={patience}"
    limit = min(epochs, len(losses) + 1)

    def one_epoch() -> float:
        if len(done) >= limit and epochs <= len(losses) + 1:
            raise CheckFailed(f"{shown}: expected at most {epochs} epochs, got one more. Count them.")
        if len(done) > len(losses):
            raise CheckFailed(f"{shown}, then nan: expected an end after the nan, got one more epoch. Look for nan.")
        loss = losses[len(done)] if len(done) < len(losses) else NAN
        done.append(loss)
        better = math.isfinite(loss) and loss < lowest[0]
        lowest[0] = loss if better else lowest[0]
        best.waited = 0 if better else best.waited + 1
        return loss

    got = (
        answer(one_epoch, best, epochs=epochs, patience=patience)
        if by_name
        else answer(one_epoch, best, epochs, patience)
    )
    expect(len(done) == count, f"{shown}: epochs that were run", count, len(done), look)
    expect(isinstance(got, str) and got == reason, f"{shown}: the reason", reason, got, look)


def _norm(array: NDArray) -> float:
    return math.sqrt(math.fsum(float(value) ** 2 for value in np.ravel(array)))


def ratio(before: NDArray, after: NDArray) -> float:
    """Oracle of `update_ratio`: norms by a loop."""
    return _norm(np.asarray(after, float) - np.asarray(before, float)) / _norm(before) if before.any() else NAN


def ratio_cases(rng: np.random.Generator) -> list[Case]:
    w = rng.standard_normal((4, 3))
    one = "One number for the whole array: the norm of the difference by the norm of the weights before the step."
    return [
        Case("before [3, 4], after [3, 4.005]", (np.array([3.0, 4.0]), np.array([3.0, 4.005])), look=one),
        Case("before [3, 4], after [6, 8]", (np.array([3.0, 4.0]), np.array([6.0, 8.0])), look=one),
        Case("before [1, -1], after [-1, 1]", (np.array([1.0, -1.0]), np.array([-1.0, 1.0])), look=one),
        Case("weights of shape (4, 3)", (w, w + 1e-3 * rng.standard_normal((4, 3))), look=one + " Not row by row."),
        Case("a step of size 0", (w, w.copy()), look="No change, ratio 0."),
        Case("weights of shape (2, 2, 2)", (np.ones((2, 2, 2)), np.full((2, 2, 2), 0.5)), look=one),
        Case("before [0, 0], after [1, 1]", (np.zeros(2), np.ones(2)),
             look="Weights of 0 have no size to compare with: return float('nan')."),
        Case("before [0, 0], after [0, 0]", (np.zeros(2), np.zeros(2)),
             look="Weights of 0 have no size to compare with: return float('nan')."),
    ]  # fmt: skip
