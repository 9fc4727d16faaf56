"""Figures of the PyTorch labs; every function returns the matplotlib Figure and imports matplotlib when it is called."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exercise_code.labs.training import History
from exercise_code.plots import BAD, GOOD, MUTED, _style


def plot_histories(histories: Mapping[str, History]) -> Any:
    """Training loss (left) and validation accuracy (right) per epoch of several runs; a dot marks the epoch that was kept.

    >>> history = History(train_loss=[2.0, 1.0], val_loss=[2.0, 1.5], val_accuracy=[0.5, 0.75], best_epoch=2)
    >>> plot_histories({"small": history}).axes[1].get_legend().get_texts()[0].get_text()
    'small'
    """
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4))
    for name, history in histories.items():
        epochs = np.arange(1, history.epochs + 1)
        (line,) = left.plot(epochs, history.train_loss, label=name)
        right.plot(epochs, 100 * np.array(history.val_accuracy), color=line.get_color(), label=name)
        if history.best_epoch:
            right.plot(history.best_epoch, 100 * history.best_accuracy, "o", color=line.get_color())
    left.set(xlabel="epoch", ylabel="training loss", yscale="log")
    right.set(xlabel="epoch", ylabel="validation accuracy (%)")
    right.legend(frameon=False)
    for axes in (left, right):
        _style(axes)
    figure.tight_layout()
    return figure


def plot_soft_targets(pixels: NDArray, labels: ArrayLike, targets: Mapping[float, NDArray]) -> Any:
    """One row per image: the image, then a bar chart of its soft targets for every temperature.

    Args:
        pixels: (N, H, W, 1) uint8.
        labels: (N,) true classes, whose bars are green.
        targets: temperature -> probabilities (N, C).

    >>> pixels, even = np.zeros((2, 28, 28, 1), dtype=np.uint8), np.full((2, 2), 0.5)
    >>> figure = plot_soft_targets(pixels, [0, 1], {1.0: np.eye(2), 4.0: even})
    >>> len(figure.axes), figure.axes[2].get_title()
    (6, 'T = 4')
    """
    import matplotlib.pyplot as plt

    labels = np.asarray(labels)
    rows, columns = len(pixels), 1 + len(targets)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(2.1 * columns, 1.5 * rows),
        squeeze=False,
        gridspec_kw={"width_ratios": [0.7, *[1] * len(targets)]},
    )
    for row, image in enumerate(pixels):
        axes[row, 0].imshow(image.squeeze(), cmap="gray", interpolation="nearest")
        axes[row, 0].set_axis_off()
        for column, (temperature, probabilities) in enumerate(targets.items(), start=1):
            axis = axes[row, column]
            classes = np.arange(probabilities.shape[1])
            axis.bar(classes, probabilities[row], color=np.where(classes == labels[row], GOOD, MUTED))
            axis.set(ylim=(0, 1), xticks=classes, yticks=[0, 0.5, 1] if column == 1 else [])
            axis.tick_params(labelsize=7, length=0)
            axis.spines[["top", "right"]].set_visible(False)
            if row == 0:
                axis.set_title(f"T = {temperature:g}", fontsize=10)
    figure.tight_layout()
    return figure


def plot_similarity(shares: ArrayLike, classes: Sequence[str], title: str) -> Any:
    """Mean soft target per true class, (C, C) with rows = true class, in percent; the diagonal is left out.

    >>> figure = plot_similarity([[0.9, 0.1], [0.2, 0.8]], ["one", "seven"], "Which digits look alike?")
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['10.0', '20.0']
    """
    import matplotlib.pyplot as plt

    shares = 100 * np.array(shares, dtype=float)
    np.fill_diagonal(shares, np.nan)
    figure, axes = plt.subplots(figsize=(5.6, 4.6))
    picture = axes.imshow(shares, cmap="Purples")
    axes.set(
        xticks=range(len(classes)),
        yticks=range(len(classes)),
        xlabel="gets this share",
        ylabel="true class",
        title=title,
    )
    axes.set_xticklabels(classes)
    axes.set_yticklabels(classes)
    middle = np.nanmax(shares) / 2
    for row, column in np.ndindex(*shares.shape):
        if row != column:
            colour = "white" if shares[row, column] > middle else "black"
            axes.text(column, row, f"{shares[row, column]:.1f}", ha="center", va="center", fontsize=7, color=colour)
    figure.colorbar(picture, label="% on average")
    figure.tight_layout()
    return figure


def plot_gradient_sizes(temperatures: ArrayLike, sizes: Mapping[str, ArrayLike], levels: Mapping[str, float]) -> Any:
    """Mean size of the gradient at the logits against the temperature, one line per loss; levels are horizontal lines.

    >>> figure = plot_gradient_sizes([1, 2, 4], {"soft targets": [0.2, 0.1, 0.05]}, {"labels": 0.1})
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['soft targets', 'labels']
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.8, 4))
    for name, values in sizes.items():
        axes.plot(temperatures, values, "o-", markersize=4, label=name)
    for name, value in levels.items():
        axes.axhline(value, color=MUTED, linestyle="--", label=name)
    axes.set(xscale="log", yscale="log", xlabel="temperature T", ylabel="mean |gradient| at a logit")
    ticks = np.asarray(temperatures, dtype=float)
    axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
    axes.minorticks_off()
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    _style(axes)
    figure.tight_layout()
    return figure


def plot_pairs(before: Sequence[float], after: Sequence[float], names: tuple[str, str], unit: str = "errors") -> Any:
    """Paired runs: a line from the value before to the value after for each seed, and the two means as bars.

    >>> plot_pairs([100, 110], [90, 95], ("plain", "distilled")).axes[0].get_title()
    '2 seeds, the bars are means'
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4.6, 3.8))
    for one, other in zip(before, after, strict=True):
        axes.plot([0, 1], [one, other], "o-", color=GOOD if other < one else BAD, alpha=0.75, zorder=3)
    for x, values in enumerate((before, after)):
        axes.hlines(np.mean(values), x - 0.18, x + 0.18, color="black", linewidth=3, zorder=4)
    axes.set(xlim=(-0.5, 1.5), xticks=[0, 1], ylabel=unit, title=f"{len(before)} seeds, the bars are means")
    axes.set_xticklabels(names)
    axes.set_ylim(bottom=0)
    _style(axes)
    figure.tight_layout()
    return figure


def plot_sizes(rows: Sequence[tuple[str, float, float]]) -> Any:
    """Error (%) against size in bytes, both on log scales; rows are (name, bytes, accuracy as a fraction).

    >>> figure = plot_sizes([("student", 159_040, 0.98), ("binary student", 5_000, 0.95)])
    >>> figure.axes[0].get_legend().get_texts()[0].get_text()
    'student: 159 kB, 2.0 %'
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 4))
    for number, (name, size, accuracy) in enumerate(rows):
        error = 100 * (1 - accuracy)
        label = f"{name}: {size / 1000:,.0f} kB, {error:.1f} %"
        axes.plot(size / 1000, error, f"C{number % 10}" + "osD^v<>PX*"[number % 10], markersize=9, label=label)
    axes.set(xscale="log", yscale="log", xlabel="weights (kB)", ylabel="validation error (%)")
    low, high = axes.get_xlim()
    axes.set_xlim(low / 1.5, high * 1.5)
    axes.margins(y=0.15)
    ticks = [
        value
        for value in (0.5, 1, 1.5, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50)
        if axes.get_ylim()[0] <= value <= axes.get_ylim()[1]
    ]
    axes.set_yticks(ticks, [f"{value:g}" for value in ticks])
    axes.minorticks_off()
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    _style(axes)
    figure.tight_layout()
    return figure
