"""Figures of exercise 08; every function returns the matplotlib Figure and imports matplotlib when it is called."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exercise_code.labs.batch_norm_runs import Run
from exercise_code.plots import GOOD, MUTED, _style


def plot_runs(runs: Mapping[str, Run], *, level: float | None = 0.97) -> Any:
    """Validation accuracy, size of the first layer's gradient, and drift of the last layer's inputs, against the step.

    >>> run = Run(steps=[10, 20], val_accuracy=[0.5, 0.9], gradients=[[0.1], [0.2]], means=[[0.0], [1.0]])
    >>> plot_runs({"with batch norm": run}).axes[0].get_title()
    'validation accuracy (%)'
    """
    import matplotlib.pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.6))
    for name, run in runs.items():
        left.plot(run.steps, 100 * np.array(run.val_accuracy), label=name, linewidth=1.6)
        middle.plot(run.steps, [layers[0] for layers in run.gradients], linewidth=1.6)
        drift = np.abs(np.diff(np.array(run.means), axis=0)).mean(axis=1)
        right.plot(run.steps[1:], drift, linewidth=1.6)
    if level is not None:
        left.axhline(100 * level, color=MUTED, linestyle=":", linewidth=1)
    left.set(title="validation accuracy (%)", xlabel="step")
    middle.set(title="mean |gradient| of the first layer", xlabel="step", yscale="log")
    right.set(title="drift of the last layer's inputs", xlabel="step", yscale="log")
    left.legend(frameon=False, loc="lower right", fontsize=9)
    for axes in (left, middle, right):
        _style(axes)
    figure.tight_layout()
    return figure


def plot_batch_sizes(sizes: Sequence[int], gaps: ArrayLike, noise: ArrayLike) -> Any:
    """Two properties against the batch size: share of predictions that change in training mode, and spread of the mean.

    >>> figure = plot_batch_sizes([4, 16], gaps=[0.2, 0.1], noise=[0.5, 0.25])
    >>> [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    ['measured', '1 / sqrt(batch size)']
    """
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.3))
    left.plot(sizes, 100 * np.asarray(gaps), "o-", color=GOOD)
    left.set(title="predictions changed by training mode (%)", yscale="symlog", ylim=(0, None))
    right.plot(sizes, noise, "o-", color=GOOD, label="measured")
    ideal = float(np.asarray(noise)[0]) * np.sqrt(sizes[0] / np.asarray(sizes))
    right.plot(sizes, ideal, ":", color=MUTED, label="1 / sqrt(batch size)")
    right.set(title="spread of a batch's mean", yscale="log")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.set(xlabel="batch size", xscale="log")
        axes.set_xticks(list(sizes), [str(size) for size in sizes])
        axes.minorticks_off()
        _style(axes)
    figure.tight_layout()
    return figure


def plot_leaves(pixels: NDArray, titles: Sequence[str], *, columns: int = 6) -> Any:
    """Images (N, H, W, 3) uint8 with a title each.

    >>> figure = plot_leaves(np.zeros((2, 8, 8, 3), dtype=np.uint8), ["bean rust", "healthy"], columns=2)
    >>> [axes.get_title() for axes in figure.axes]
    ['bean rust', 'healthy']
    """
    import matplotlib.pyplot as plt

    rows = -(-len(pixels) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(1.9 * columns, 2.1 * rows), squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, title in zip(grid.flat, pixels, titles, strict=False):
        axes.imshow(image)
        axes.set_title(title, fontsize=9)
    figure.tight_layout()
    return figure


def plot_folds(accuracies: Mapping[str, Sequence[float]]) -> Any:
    """Accuracy of several configurations on the same folds: a line joins the dots of a fold, bars are means.

    >>> figure = plot_folds({"plain": [0.8, 0.9], "turned": [0.85, 0.95]})
    >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
    ['plain', 'turned']
    """
    import matplotlib.pyplot as plt

    names = list(accuracies)
    table = 100 * np.array([accuracies[name] for name in names])  # (configurations, folds)
    figure, axes = plt.subplots(figsize=(1.6 + 1.6 * len(names), 3.6))
    for fold in table.T:
        axes.plot(range(len(names)), fold, "o-", color=MUTED, alpha=0.6, markersize=4)
    axes.hlines(
        table.mean(axis=1), np.arange(len(names)) - 0.2, np.arange(len(names)) + 0.2, color=GOOD, linewidth=3, zorder=3
    )
    axes.set(
        xticks=range(len(names)),
        ylabel="accuracy (%)",
        title="The same folds for all; bars are means",
        xlim=(-0.5, len(names) - 0.5),
    )
    axes.set_xticklabels(names)
    _style(axes)
    figure.tight_layout()
    return figure
