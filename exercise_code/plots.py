"""Figures for the notebooks; every function returns the matplotlib Figure and imports matplotlib when it is called."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exercise_code.diagnostics import worst_mistakes

GOOD, BAD, MUTED = "#1b7f5c", "#c2452d", "#7a828c"
INK, TRAIN, DEV = "#22272e", "#3b6ea8", "#d17a22"


def _style(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def show_images(images: NDArray, titles: Sequence[str] = (), *, columns: int = 10, wrong: Sequence[bool] = ()) -> Any:
    """Draw images (N, H, W, C) uint8 in a grid; titles above each, red where `wrong` is set.

    >>> figure = show_images(np.zeros((3, 8, 8, 3), np.uint8), ["cat", "dog", "cat"], columns=2)
    >>> len(figure.axes)
    4
    """
    import matplotlib.pyplot as plt

    rows = -(-len(images) // columns)
    height = 1.75 if len(titles) else 1.25
    figure, axes = plt.subplots(rows, columns, figsize=(1.25 * columns, height * rows), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for i, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        axis.imshow(image.squeeze(), cmap="gray" if image.shape[-1] == 1 else None, interpolation="nearest")
        if i < len(titles):
            colour = BAD if i < len(wrong) and wrong[i] else "black"
            axis.set_title(titles[i], fontsize=8, color=colour)
    figure.tight_layout()
    return figure


def plot_losses(solvers: Mapping[str, Any]) -> Any:
    """Training (dashed) and validation (solid) loss per epoch for each Solver, the best epoch marked.

    >>> class Run:
    ...     train_loss_history, val_loss_history = [1.2, 0.8], [1.1, 0.9]
    ...     best_model_stats = {"epoch": 2, "val_loss": 0.9, "train_loss": 0.8}
    >>> [line.get_label() for line in plot_losses({"net": Run}).axes[0].lines[:2]]
    ['net, training', 'net, validation']
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    figure, axes = plt.subplots(figsize=(7, 4))
    for i, (name, solver) in enumerate(solvers.items()):
        epochs = np.arange(1, len(solver.val_loss_history) + 1)
        colour = f"C{i}"
        axes.plot(epochs, solver.train_loss_history, "--", color=colour, alpha=0.7, label=f"{name}, training")
        axes.plot(epochs, solver.val_loss_history, "-", color=colour, label=f"{name}, validation")
        if solver.best_model_stats:
            best = solver.best_model_stats
            axes.plot(best["epoch"], best["val_loss"], "o", color=colour)
    axes.set(xlabel="epoch", ylabel="loss", title="Loss per epoch (dot: best validation loss)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    _style(axes)
    figure.tight_layout()
    return figure


def plot_search(trials: Sequence[Any], x: str, y: str | None = None, *, log: bool = True) -> Any:
    """Validation accuracy of every trial against one hyper-parameter, or over a plane of two (colour = accuracy).

    Diverged trials are drawn as crosses, without an accuracy at the foot of the picture.

    >>> from exercise_code.hyperparameter_tuning import Trial
    >>> trials = [Trial({"learning_rate": lr}, 1.0, accuracy, 0.5, 3) for lr, accuracy in ((1e-3, 0.4), (1e-2, 0.5))]
    >>> trials.append(Trial({"learning_rate": 1.0}, float("nan"), float("nan"), 0.5, 1))
    >>> axes = plot_search(trials, "learning_rate").axes[0]
    >>> axes.texts[0].get_text(), axes.get_legend().get_texts()[0].get_text()
    ('best 50.0 %', 'diverged')
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.5, 4.2))
    xs = np.array([trial.config[x] for trial in trials], dtype=float)
    accuracy = np.array([100 * trial.val_accuracy for trial in trials])
    alive = np.isfinite(accuracy)
    if y is None:
        ys = np.where(alive, accuracy, 0)
        axes.scatter(xs[alive], ys[alive], color=GOOD, s=45, zorder=3)
        axes.set(ylabel="validation accuracy (%)")
    else:
        ys = np.array([trial.config[y] for trial in trials], dtype=float)
        dots = axes.scatter(xs[alive], ys[alive], c=accuracy[alive], cmap="viridis", s=90, edgecolor="white", zorder=3)
        figure.colorbar(dots, label="validation accuracy (%)")
        axes.set(ylabel=y)
        if log:
            axes.set_yscale("log")
    if (~alive).any():
        axes.scatter(xs[~alive], ys[~alive], marker="x", color=BAD, label="diverged", zorder=3)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False, borderaxespad=0, handletextpad=0)
    if alive.any():
        best = int(np.nanargmax(accuracy))
        axes.annotate(
            f"best {accuracy[best]:.1f} %",
            (xs[best], ys[best]),
            xytext=(0, 9),
            ha="center",
            textcoords="offset points",
            zorder=4,
        )
    if log:
        axes.set_xscale("log")
    axes.margins(0.12)
    axes.set(xlabel=x, title=f"{len(trials)} configurations")
    _style(axes)
    figure.tight_layout()
    return figure


def plot_confusion(counts: ArrayLike, classes: Sequence[str]) -> Any:
    """Confusion matrix (C, C) of counts as row percentages: row = true class, column = prediction.

    >>> figure = plot_confusion([[9, 1], [5, 5]], ["cat", "dog"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['90', '10', '50', '50']
    """
    import matplotlib.pyplot as plt

    counts = np.asarray(counts, dtype=float)
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(6.6, 5.6))
    picture = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    axes.set(xticks=range(len(classes)), yticks=range(len(classes)), xlabel="predicted", ylabel="true")
    axes.set_xticklabels(classes, rotation=45, ha="right")
    axes.set_yticklabels(classes)
    for row, column in np.ndindex(*share.shape):
        colour = "white" if share[row, column] > 55 else "black"
        axes.text(column, row, f"{share[row, column]:.0f}", ha="center", va="center", fontsize=8, color=colour)
    figure.colorbar(picture, label="% of the true class")
    axes.set_title("Where the network errs")
    figure.tight_layout()
    return figure


def plot_worst_mistakes(
    images: NDArray, logits: NDArray, labels: ArrayLike, classes: Sequence[str], count: int = 10
) -> Any:
    """The wrong predictions that the network was surest of: images (N, H, W, C) uint8, logits (N, C), labels (N,).

    Raises:
        ValueError: there is no mistake to show.

    >>> logits = np.array([[2.0, 0.0], [0.0, 3.0]])
    >>> figure = plot_worst_mistakes(np.zeros((2, 8, 8, 3), np.uint8), logits, [0, 0], ["cat", "dog"])
    >>> figure.axes[0].get_title()
    'dog 95 %\\nis cat'
    """
    labels = np.asarray(labels)
    worst = worst_mistakes(logits, labels, count)
    if not worst.size:
        raise ValueError("expected at least one wrong prediction, got none")
    shifted = np.exp(logits[worst] - logits[worst].max(axis=1, keepdims=True))
    sure = 100 * shifted.max(axis=1) / shifted.sum(axis=1)
    titles = [
        f"{classes[guess]} {percent:.0f} %\nis {classes[label]}"
        for guess, percent, label in zip(logits[worst].argmax(axis=1), sure, labels[worst], strict=True)
    ]
    return show_images(images[worst], titles, columns=min(len(worst), 5), wrong=[True] * len(worst))
