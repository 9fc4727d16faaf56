"""Figures for the diagnostics; every function returns the matplotlib Figure and imports matplotlib when it is called."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from exercise_code.bias_variance import accuracy_interval
from exercise_code.cross_validation import CrossValidation
from exercise_code.gradient_check import GradientCheck
from exercise_code.learning_curves import LearningCurve
from exercise_code.plots import BAD, DEV, GOOD, INK, MUTED, TRAIN, _style
from exercise_code.sanity_checks import InitialLoss, OverfitCheck


def plot_gradient_check(check: GradientCheck) -> Any:
    """Every relative error of a gradient check as a dot per array; red above the tolerance, which is the dashed line.

    >>> from exercise_code.gradient_check import check_layer
    >>> from exercise_code.networks.layer import Relu
    >>> relu = Relu()
    >>> figure = plot_gradient_check(check_layer(relu.forward, relu.backward, {"x": np.array([[-1.0, 2.0]])}))
    >>> bool(figure.axes)
    True
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 1.5 + 0.36 * len(check.rows)))
    floor = 1e-13  # errors of exactly 0 have no place on a log axis
    rng = np.random.default_rng(0)
    highest = 1.0
    for i, row in enumerate(check.rows):
        error = np.clip(row.error, floor, 1e3)
        highest = max(highest, *error) if error.size else highest
        heights = i + rng.uniform(-0.22, 0.22, error.size)
        colours = np.where(row.error <= row.rtol, GOOD, BAD)
        axes.scatter(error, heights, c=colours, s=16, alpha=0.65, linewidths=0, zorder=3)
        verdict = "ok" if row.passed else "wrong" if len(row.indices) else "nothing to compare"
        note = f"{verdict}, {row.skipped} on a kink" if row.skipped else verdict
        axes.annotate(
            note,
            (1.01, i),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9,
            color=GOOD if row.passed else BAD,
        )
    if check.rows:
        axes.axvline(check.rows[0].rtol, color=INK, linestyle="--", linewidth=1)
        axes.annotate(
            "tolerance",
            (check.rows[0].rtol, 1.01),
            xycoords=("data", "axes fraction"),
            ha="center",
            fontsize=9,
            color=INK,
        )
    axes.set_xscale("log")
    axes.set(xlim=(floor / 2, 3 * highest), ylim=(len(check.rows) - 0.5, -0.5))
    axes.set(yticks=range(len(check.rows)), xlabel="relative error of backward (exact ones at the left edge)")
    axes.set_yticklabels([row.name for row in check.rows])
    verdict = "backward is right" if check.passed else "backward is wrong"
    axes.set_title(f"Gradient check: {verdict}", loc="left", pad=18, color=GOOD if check.passed else BAD)
    _style(axes)
    axes.grid(axis="y", visible=False)
    figure.tight_layout()
    return figure


def plot_initial_loss(checks: Mapping[str, InitialLoss]) -> Any:
    """First loss of one or more networks as bars, the regularisation term on top, against the expected value (line).

    >>> from exercise_code.networks import ClassificationNet
    >>> from exercise_code.sanity_checks import check_initial_loss
    >>> data = [{"image": np.full(4, i / 8), "label": i % 2} for i in range(8)]
    >>> check = check_initial_loss(ClassificationNet(input_size=4, num_classes=2), data)
    >>> plot_initial_loss({"net": check}).axes[0].get_yticklabels()[0].get_text()
    'net'
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 1.6 + 0.45 * len(checks)))
    for i, check in enumerate(checks.values()):
        axes.barh(i, check.loss, height=0.6, color=GOOD if check.passed else BAD, zorder=3)
        axes.barh(i, check.reg, left=check.loss, height=0.6, color=MUTED, alpha=0.45, zorder=3)
        axes.annotate(
            f"{check.loss:.3f}" + (f" + {check.reg:.3f} regularisation" if check.reg else ""),
            (check.loss + check.reg, i),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            zorder=5,
        )
        axes.plot([check.expected] * 2, [i - 0.42, i + 0.42], color=INK, linewidth=2, zorder=4)
    first = next(iter(checks.values()))
    axes.set_title(f"Loss before training; line: {first.expected:.3f}, knowing nothing", loc="left", color=INK)
    axes.set(yticks=range(len(checks)), xlabel="loss", ylim=(len(checks) - 0.4, -0.6))
    axes.set_yticklabels(checks)
    axes.set_xlim(0, 1.35 * max(max(check.loss + check.reg, check.expected) for check in checks.values()))
    _style(axes)
    axes.grid(axis="y", visible=False)
    figure.tight_layout()
    return figure


def plot_overfit_check(check: OverfitCheck) -> Any:
    """Loss (log scale) and accuracy of an overfit check for each step, on the samples it trains on.

    >>> from exercise_code.networks import ClassificationNet
    >>> from exercise_code.sanity_checks import check_overfit
    >>> data = [{"image": np.eye(4)[i], "label": i} for i in range(4)]
    >>> check = check_overfit(ClassificationNet(num_layer=1, input_size=4, num_classes=4), data, learning_rate=0.1)
    >>> len(plot_overfit_check(check).axes)
    2
    """
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    steps = np.arange(len(check.losses))
    colour = GOOD if check.passed else BAD
    left.plot(steps, check.losses, color=colour, linewidth=1.8)
    left.axhline(check.target_loss, color=INK, linestyle="--", linewidth=1)
    left.annotate(
        "target",
        (0, check.target_loss),
        xycoords=("axes fraction", "data"),
        xytext=(5, 4),
        textcoords="offset points",
        fontsize=9,
    )
    left.set_yscale("log")
    left.set(xlabel="step", ylabel="loss", title="loss")
    right.plot(steps, 100 * check.accuracies, color=colour, linewidth=1.8)
    right.set(xlabel="step", ylabel="%", title="accuracy", ylim=(-3, 105))
    for axes in (left, right):
        _style(axes)
    verdict = "known by heart" if check.passed else "not learned"
    figure.suptitle(f"Overfit check: {check.samples} samples {verdict} after {check.steps} steps", color=INK)
    figure.tight_layout()
    return figure


def plot_cross_validation(results: Mapping[str, CrossValidation]) -> Any:
    """Held-out accuracy of every fold as a dot, the mean and one standard deviation as a bar, for one or more networks.

    >>> from exercise_code.cross_validation import cross_validate
    >>> from exercise_code.networks import ClassificationNet
    >>> data = [{"image": np.eye(2)[i % 2], "label": i % 2} for i in range(20)]
    >>> def linear():
    ...     return ClassificationNet(num_layer=1, input_size=2, num_classes=2)
    >>> result = cross_validate(linear, data, 4, epochs=2, solver_settings={"learning_rate": 0.1})
    >>> bool(plot_cross_validation({"linear": result}).axes)
    True
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 1.5 + 0.5 * len(results)))
    for i, result in enumerate(results.values()):
        mean, std = 100 * result.mean, 100 * result.std
        axes.plot([mean - std, mean + std], [i, i], color=GOOD, linewidth=9, alpha=0.22, solid_capstyle="butt")
        axes.plot([mean, mean], [i - 0.24, i + 0.24], color=GOOD, linewidth=2.2, zorder=3)
        axes.scatter(
            100 * result.val_accuracy, np.full(len(result.val_accuracy), i), s=26, color=INK, alpha=0.75, zorder=4
        )
        axes.annotate(
            f"{mean:.1f} \u00b1 {std:.1f}", (1.01, i), xycoords=("axes fraction", "data"), va="center", fontsize=9
        )
    axes.set(yticks=range(len(results)), xlabel="accuracy on the held-out fold (%)", ylim=(len(results) - 0.5, -0.5))
    axes.set_yticklabels(results)
    folds = len(next(iter(results.values())).val_accuracy)
    axes.set_title(f"{folds}-fold cross-validation: mean and standard deviation between folds", loc="left", fontsize=11)
    _style(axes)
    axes.grid(axis="y", visible=False)
    figure.tight_layout()
    return figure


def plot_learning_curve(curve: LearningCurve, *, human: float | None = None, val_size: int | None = None) -> Any:
    """Training and dev accuracy against the number of training samples, with the range over repeats.

    human draws a line for the level of people; val_size, the dev set's size, adds the 95 % interval of its accuracy.

    >>> from exercise_code.learning_curves import learning_curve
    >>> from exercise_code.networks import ClassificationNet
    >>> data = [{"image": np.eye(2)[i % 2], "label": i % 2} for i in range(40)]
    >>> def linear():
    ...     return ClassificationNet(num_layer=1, input_size=2, num_classes=2)
    >>> curve = learning_curve(linear, data[:30], data[30:], [10, 30], steps=10)
    >>> bool(plot_learning_curve(curve).axes)
    True
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2))
    for name, values, colour in (("training", curve.train_accuracy, TRAIN), ("dev", curve.val_accuracy, DEV)):
        mean = 100 * values.mean(axis=1)
        axes.plot(curve.sizes, mean, "o-", color=colour, linewidth=2, markersize=5, zorder=3)
        axes.fill_between(
            curve.sizes, 100 * values.min(axis=1), 100 * values.max(axis=1), color=colour, alpha=0.18, lw=0
        )
        axes.annotate(
            f"{name} {mean[-1]:.0f} %",
            (curve.sizes[-1], mean[-1]),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=colour,
        )
    if val_size is not None:
        ends = np.array([accuracy_interval(value, val_size) for value in curve.val_accuracy.mean(axis=1)])
        axes.vlines(curve.sizes, *(100 * ends.T), color=DEV, linewidth=1, zorder=2)
    if human is not None:
        axes.axhline(100 * human, color=MUTED, linestyle="--")
        axes.annotate(
            f"people {100 * human:.0f} %",
            (1, 100 * human),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 4),
            textcoords="offset points",
            ha="right",
            color=MUTED,
        )
    axes.set(xscale="log", xlabel="training samples", ylabel="accuracy (%)")
    notes = [f"band: {curve.val_accuracy.shape[1]} repeats"] if curve.val_accuracy.shape[1] > 1 else []
    notes += ["bar: 95 % interval of the dev accuracy"] if val_size is not None else []
    axes.set_title("Learning curve" + (f" ({'; '.join(notes)})" if notes else ""), loc="left", fontsize=11, color=INK)
    axes.set_xticks(curve.sizes, [f"{size:,}" for size in curve.sizes])
    axes.xaxis.minorticks_off()
    axes.set_ylim(top=max(102.0, axes.get_ylim()[1]) if human is not None else None)
    _style(axes)
    figure.tight_layout()
    return figure


def plot_update_ratios(ratios: Mapping[str, Sequence[float]], *, every: int = 10) -> Any:
    """Size of the updates relative to the weights over training, a line per weight matrix, with the healthy range shaded.

    Args:
        ratios: name -> one number per measured step, as `exercise_code.callbacks.UpdateRatio` keeps them.
        every: steps between two numbers, the callback's setting.

    >>> figure = plot_update_ratios({"W1": [1e-2, 3e-3], "W2": [2e-3, 1e-3]})
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['W1', 'W2', 'about right']
    """
    figure, axes = _over_steps(ratios, every, "update / weights", "Size of an update relative to the weights")
    axes.axhspan(3e-4, 3e-3, color=GOOD, alpha=0.12, linewidth=0)
    axes.annotate("about right", (0.01, 1e-3), xycoords=("axes fraction", "data"), va="center", color=GOOD, fontsize=9)
    figure.tight_layout()
    return figure


def plot_gradient_norms(norms: Mapping[str, Sequence[float]], *, every: int = 10) -> Any:
    """Norm of the gradient of each weight matrix over training; lines that drift apart vanish or explode with depth.

    Args:
        norms: name -> one number per measured step, as `exercise_code.callbacks.GradientNorms` keeps them; only weight
            matrices W1, W2, ... are drawn.
        every: steps between two numbers, the callback's setting.

    >>> figure = plot_gradient_norms({"W2": [1.0, 2.0], "b1": [0.3, 0.3], "W1": [0.1, 0.2]})
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['W1', 'W2']
    """
    matrices = {name: values for name, values in norms.items() if name.startswith("W")}
    figure, axes = _over_steps(matrices, every, "norm of the gradient", "Gradients layer by layer")
    figure.tight_layout()
    return figure


def _over_steps(series: Mapping[str, Sequence[float]], every: int, ylabel: str, title: str) -> tuple[Any, Any]:
    """A line per name on a logarithmic axis, from dark (W1) to light (the last layer), named at its right end."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(series)))
    in_order = sorted(series.items(), key=lambda item: (len(item[0]), item[0]))  # W2 before W10
    for (name, values), colour in zip(in_order, colours, strict=True):
        axes.plot(every * np.arange(len(values)), values, color=colour, linewidth=1.4)
        end = (every * (len(values) - 1), values[-1])
        axes.annotate(name, end, xytext=(5, 0), textcoords="offset points", va="center", color=colour, fontsize=9)
    axes.set_yscale("log")
    axes.set(xlabel="step", ylabel=ylabel)
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    _style(axes)
    return figure, axes
