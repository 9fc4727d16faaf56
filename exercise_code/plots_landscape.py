"""Figures of the loss landscape; every function returns the matplotlib Figure and imports matplotlib when it is called."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from exercise_code.landscape import LossPlane, LossSlice, SmoothnessHistory
from exercise_code.plots import BAD, _style


def plot_loss_slice(slices: Mapping[str, LossSlice], *, log: bool = False) -> Any:
    """Loss along one direction, a curve per network, with the network itself at 0; gaps where the loss is not finite.

    >>> line = LossSlice(np.array([-1.0, 0.0, 1.0]), np.array([2.0, 1.0, np.nan]))
    >>> plot_loss_slice({"net": line}).axes[0].get_ylabel()
    'loss'
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    for i, (name, line) in enumerate(slices.items()):
        losses = np.where(np.isfinite(line.losses), line.losses, np.nan)
        axes.plot(line.alphas, losses, color=f"C{i}", linewidth=2, label=name)
        here = np.flatnonzero(line.alphas == 0)
        axes.plot(line.alphas[here], losses[here], "o", color=f"C{i}", markersize=7, zorder=4)
    if log:
        axes.set_yscale("log")
    axes.set(xlabel="distance along the direction", ylabel="loss", title="Slice through the loss landscape")
    axes.legend(frameon=False)
    _style(axes)
    figure.tight_layout()
    return figure


def plot_loss_plane(planes: Mapping[str, LossPlane]) -> Any:
    """Loss over a plane of two directions as contours, one panel per network on one colour scale; a cross is the network.

    Levels are even on a log scale, since far from the minimum the loss grows by orders of magnitude.

    >>> plane = LossPlane(np.array([-1.0, 0.0, 1.0]), np.array([0.0, 1.0]), np.array([[2.0, 3.0], [1.0, 2.0], [2.0, 4.0]]))
    >>> plot_loss_plane({"net": plane}).axes[0].get_title()
    'net'
    """
    import matplotlib.pyplot as plt
    from matplotlib.colors import LogNorm

    every = np.concatenate([plane.losses[np.isfinite(plane.losses)] for plane in planes.values()])
    low, high = max(every.min(), 1e-8), max(every.max(), 1e-8)
    high = high if high > low else 2 * low
    levels = np.geomspace(low, high, 22)
    figure, grid = plt.subplots(
        1,
        len(planes),
        figsize=(1.1 + 4.3 * len(planes), 4.2),
        squeeze=False,
        layout="constrained",
        sharex=True,
        sharey=True,
    )
    for axes, (title, plane) in zip(grid[0], planes.items(), strict=True):
        losses = np.clip(np.where(np.isfinite(plane.losses), plane.losses, high), low, high).T  # rows are betas here
        picture = axes.contourf(plane.alphas, plane.betas, losses, levels, cmap="viridis", norm=LogNorm(low, high))
        axes.contour(plane.alphas, plane.betas, losses, levels[::2], colors="white", linewidths=0.5, alpha=0.6)
        axes.plot(0, 0, "+", color=BAD, markersize=13, markeredgewidth=2.5)
        axes.set(xlabel="first direction", title=title, aspect="equal")
        axes.locator_params(nbins=5)
    grid[0, 0].set_ylabel("second direction")
    bar = figure.colorbar(picture, ax=grid[0].tolist(), label="loss")
    _plain_log_ticks(bar.ax.yaxis)
    return figure


def plot_smoothness(histories: Mapping[str, SmoothnessHistory]) -> Any:
    """The three pictures of Santurkar et al. (2018), one colour per network.

    Over the steps of training: the range of losses along the gradient, the range of the gradient's change, and the
    effective beta-smoothness; narrow bands and low curves are smooth.

    >>> from exercise_code.landscape import GradientProbe
    >>> probe = GradientProbe(np.array([0.5, 1.0]), 3.0, 2.0, np.array([2.0, 1.5]), np.array([1.0, 3.0]))
    >>> figure = plot_smoothness({"net": SmoothnessHistory(np.array([0, 5]), (probe, probe))})
    >>> [axes.get_title() for axes in figure.axes]
    ['loss along the gradient', 'change of the gradient', 'effective $\\\\beta$-smoothness']
    """
    import matplotlib.pyplot as plt

    figure, (loss, change, beta) = plt.subplots(1, 3, figsize=(13, 3.9))
    for i, (name, history) in enumerate(histories.items()):
        colour = f"C{i}"
        for axes, values in ((loss, history.losses), (change, history.changes)):
            values = np.where(np.isfinite(values), values, np.nan)
            axes.fill_between(
                history.steps,
                values.min(axis=1),
                values.max(axis=1),
                color=colour,
                alpha=0.4,
                linewidth=0.6,
                label=name,
            )
        beta.plot(history.steps, history.beta, color=colour, linewidth=1.6, label=name)
    loss.set(title="loss along the gradient", ylabel="loss")
    change.set(title="change of the gradient", ylabel="L2 norm")
    beta.set(title=r"effective $\beta$-smoothness", ylabel=r"$\beta$")
    for axes in (loss, change, beta):
        axes.set_yscale("log")
        _plain_log_ticks(axes.yaxis)
        axes.set_xlabel("training step")
        _style(axes)
    loss.legend(frameon=False)
    figure.tight_layout()
    return figure


def _plain_log_ticks(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
