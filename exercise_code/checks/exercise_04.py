"""Checks of exercise 04: activations with gradients, sanity checks, and the parts of grid, random and fine search."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.checks.core import Check, expect, expect_close
from exercise_code.checks.search_bugs import draw_learning_rate, keep_best_weights, pick_trial
from exercise_code.checks.search_tasks import grid_configs, narrow_space, sample_config
from exercise_code.checks.verifiers import Verify, element_wise_layer

EXERCISE = "04_grid_search"


def _tanh(x: NDArray) -> NDArray:
    return 1 - 2 / (np.exp(2 * np.clip(x, -50, 50).astype(np.float64)) + 1)


tanh = element_wise_layer(_tanh)


def _leaky_with(slope: float) -> Verify:
    return element_wise_layer(lambda x: np.maximum(x, slope * x), lambda answer: answer(slope=slope))


def leaky_relu(answer: Any, rng: np.random.Generator) -> None:
    for slope in (0.01, float(rng.uniform(0.05, 0.5))):
        _leaky_with(slope)(answer, rng)
    expect_close(
        "slope when none is given",
        answer().forward(np.array([-100.0]))[0],
        [-1.0],
        "Use self.slope, not a number of your own.",
    )


def initial_loss(answer: Any, rng: np.random.Generator) -> None:
    for classes in (10, 2, int(rng.integers(3, 1000))):
        mean_surprise = -sum(math.log(1 / classes) / classes for _ in range(classes))
        expect_close(
            f"{classes} classes",
            answer(classes),
            mean_surprise,
            "Every class has probability 1 / C: what is minus its natural logarithm?",
        )


def overfit(answer: Any, rng: np.random.Generator) -> None:
    from exercise_code.data import DataLoader

    for n in (1, 8):
        samples = [
            {"image": rng.standard_normal(48).astype(np.float32), "label": int(rng.integers(10))} for _ in range(n)
        ]
        loader = DataLoader(samples, batch_size=4, shuffle=True)
        model = answer(loader, 48)
        expect(
            hasattr(model, "forward"),
            f"{n} image(s)",
            "the trained network",
            type(model).__name__,
            "Return the model, not the Solver.",
        )
        accuracy = model.get_dataset_prediction(loader)[2]
        expect(
            bool(accuracy == 1.0), f"{n} image(s)", "training accuracy 100 %", f"{100 * accuracy:.0f} %",
            "More epochs? A larger learning rate or initial std? No regularisation?",
        )  # fmt: skip


def confusion_matrix(answer: Any, rng: np.random.Generator) -> None:
    labels, predictions = rng.integers(4, size=60), rng.integers(3, size=60)
    expected = [[int(sum((labels == t) & (predictions == p))) for p in range(4)] for t in range(4)]
    counts = answer(labels, predictions, 4)
    expect_close(
        "60 predictions of 4 classes, one never predicted",
        counts,
        expected,
        "Row: true class. Column: prediction. Every pair counts, also one that came before: the counts add up to 60.",
    )
    expect_close(
        "no predictions",
        answer(np.zeros(0, dtype=int), np.zeros(0, dtype=int), 2),
        np.zeros((2, 2)),
        "All zero.",
    )


LAYER, TUNING, DIAGNOSTICS = (
    "exercise_code.networks.layer",
    "exercise_code.hyperparameter_tuning.sampling",
    "exercise_code.diagnostics",
)

CHECKS = {
    "tanh": Check(
        EXERCISE,
        tanh,
        (
            "The derivative of tanh can be written with tanh itself.",
            "Let the cache be the output t of forward; then the derivative is 1 minus something of t.",
            "forward: t = np.tanh(x), return t twice. backward: dout times (1 - t**2), entry by entry.",
        ),
        f"{LAYER}:Tanh",
    ),
    "leaky_relu": Check(
        EXERCISE,
        leaky_relu,
        (
            "Two cases, x > 0 and the rest: what is the slope of each?",
            "np.where(condition, a, b) picks entry by entry; backward needs to know which case each entry was.",
            "Cache the mask x > 0; backward is np.where(mask, dout, self.slope * dout).",
        ),
        f"{LAYER}:LeakyRelu",
    ),
    "initial_loss": Check(
        EXERCISE,
        initial_loss,
        (
            "What probability does a network that knows nothing give to each of C classes?",
            "Cross entropy is minus the log of the probability of the true class.",
            "-log(1 / C), which is log(C).",
        ),
        f"{DIAGNOSTICS}:expected_initial_loss",
    ),
    "overfit": Check(
        EXERCISE,
        overfit,
        (
            "A net that cannot learn one image by heart has a bug, or is not trained long or boldly enough.",
            'No regularisation (reg=0), an initialisation that lets gradients through (std="he"), Adam with 1e-3 or more.',
            'ClassificationNet(activation=Relu(), input_size=input_size, std="he"), a Solver with the same loader for training '
            "and validation (allow_overlap=True), learning_rate=1e-2, and some 40 epochs.",
        ),
    ),
    "grid_configs": Check(
        EXERCISE,
        grid_configs,
        (
            "Nested for loops, one per name, but you do not know how many names there are.",
            "itertools.product(*lists) is exactly that set of nested loops.",
            "For each tuple of product(*spaces.values()) make dict(zip(spaces, the tuple)).",
        ),
        f"{TUNING}:grid_configs",
    ),
    "sample_config": Check(
        EXERCISE,
        sample_config,
        (
            "Four kinds, four branches; all randomness comes from rng.",
            'For "log" draw the exponent uniformly; for "int" look at the endpoint argument of rng.integers.',
            "float(10 ** rng.uniform(np.log10(low), np.log10(high))) and int(rng.integers(low, high, endpoint=True)).",
        ),
        f"{TUNING}:sample_config",
    ),
    "draw_learning_rate": Check(
        EXERCISE,
        draw_learning_rate,
        (
            "Two things are wrong in the last line: which number is raised to which power, and what np.exp does with a "
            "second argument.",
            "rng.uniform is already right: it draws the exponent to base 10.",
            "The inverse of log10 is 10 ** exponent.",
        ),
    ),
    "pick_trial": Check(
        EXERCISE,
        pick_trial,
        (
            "Three mistakes: one is about which images decide, two about what `not best` and nan do.",
            "Choose by val_loss. Begin with no best at all (None), and leave out losses that are not finite.",
            "Loop with enumerate; skip a trial unless math.isfinite(its val_loss); replace the best when there is none yet "
            "or when the new loss is smaller.",
        ),
    ),
    "keep_best_weights": Check(
        EXERCISE,
        keep_best_weights,
        (
            "After the loop, print the ids of the arrays in params and in the result.",
            "A dict holds references. The optimizer goes on writing into the arrays they point to.",
            "Whenever the loss is a new minimum, make a dict of array.copy() for every name.",
        ),
    ),
    "narrow_space": Check(
        EXERCISE,
        narrow_space,
        (
            "Half as wide means a quarter of the old width to each side of best.",
            'For "log" do the same with log10 of the ends and of best.',
            "new_low = max(low, best - width / 4), and 10**(...) around it for log; floor and ceil for int.",
        ),
        f"{TUNING}:narrow_space",
    ),
    "confusion_matrix": Check(
        EXERCISE,
        confusion_matrix,
        (
            "Go through the pairs (true, predicted) and count.",
            "A double loop is fine; np.add.at does it in one line.",
            "counts[t, p] += 1 for every t, p in zip(labels, predictions).",
        ),
        f"{DIAGNOSTICS}:confusion_matrix",
    ),
}
