"""Figures that show how the searchers work; every function returns the matplotlib Figure and imports matplotlib when called.

`axes` draws into axes that are there, otherwise a figure is made.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.hyperparameter_tuning.gaussian_process import ACQUISITIONS, GaussianProcessSearcher
from exercise_code.hyperparameter_tuning.parameters import Choice
from exercise_code.hyperparameter_tuning.plots_search import option_label, positions, scale_axis
from exercise_code.hyperparameter_tuning.reinforce import ReinforceController
from exercise_code.hyperparameter_tuning.successive_halving import Rungs, rung_epochs
from exercise_code.hyperparameter_tuning.tpe import TPESearcher
from exercise_code.plots import BAD, GOOD, MUTED, _style


def plot_grid_versus_random(
    important: Callable[[NDArray], NDArray] | None = None, side: int = 3, *, seed: int = 3, axes: Any = None
) -> Any:
    """`side**2` trials as a grid and at random, projected on the one hyper-parameter that matters (Bergstra and Bengio 2012).

    Args:
        important: how good a value x in [0, 1] is, vectorised; None draws a narrow peak beside the grid's lines.
        axes: 4, the two profiles and the two squares below them.

    >>> [axes.get_title() for axes in plot_grid_versus_random(side=2).axes[:2]]
    ['grid: 4 trials, 2 values tried', 'random: 4 trials, 4 values tried']
    """
    important = important or (lambda x: np.exp(-(((x - 0.3) / 0.09) ** 2)) + 0.25 * np.sin(2.2 * x))
    lines = (np.arange(side) + 0.5) / side
    grid = np.array([(x, y) for x in lines for y in lines])
    points = np.random.default_rng(seed).random((side**2, 2))
    if axes is None:
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(
            2, 2, figsize=(8.2, 5.6), height_ratios=[1, 2.4], sharex="col", sharey="row", layout="constrained"
        )
    profiles, squares = np.reshape(axes, (2, 2))
    x = np.linspace(0, 1, 400)
    for profile, square, trials, colour, name in (
        (profiles[0], squares[0], grid, BAD, "grid"),
        (profiles[1], squares[1], points, GOOD, "random"),
    ):
        height, best = important(trials[:, 0]), int(np.argmax(important(trials[:, 0])))
        profile.fill_between(x, important(x), color=MUTED, alpha=0.25, linewidth=0)
        profile.plot(x, important(x), color=MUTED, linewidth=1.2)
        profile.plot(trials[:, 0], height, "o", color=colour, markersize=5)
        profile.plot(trials[best, 0], height[best], "*", color=colour, markersize=14, markeredgecolor="white", zorder=4)
        seen = len(np.unique(trials[:, 0].round(9)))
        profile.set_title(f"{name}: {len(trials)} trials, {seen} values tried")
        profile.set(yticks=[], ylim=(min(0, important(x).min()), 1.15 * important(x).max()))
        square.vlines(trials[:, 0], trials[:, 1], 1.04, color=colour, alpha=0.35, linewidth=1)
        square.plot(trials[:, 0], trials[:, 1], "o", color=colour, markersize=8, clip_on=False)
        square.set(xlim=(0, 1), ylim=(0, 1.04), xlabel="the hyper-parameter that matters", xticks=[], yticks=[])
        for axis in (profile, square):
            axis.spines[["top", "right"]].set_visible(False)
    profiles[0].set_ylabel("result")
    squares[0].set_ylabel("one that does not")
    return profiles[0].figure


def plot_brackets(brackets: Sequence[Rungs], *, axes: Any = None) -> Any:
    """Every configuration of every bracket as a line as long as its training; darker rungs have fewer of them left.

    Args:
        brackets: see `hyperband_brackets`; one list of rungs per panel.
        axes: as many as brackets.

    >>> plot_brackets([[(9, 1), (3, 3), (1, 9)]]).axes[0].get_title().splitlines()
    ['s = 2', '21 epochs (27 restarting)']
    """
    import matplotlib.pyplot as plt

    if axes is None:
        figure, axes = plt.subplots(
            1, len(brackets), figsize=(1.0 + 2.3 * len(brackets), 4.6), sharey=True, squeeze=False, layout="constrained"
        )
    panels = list(np.ravel(axes))
    last = max(rungs[-1][1] for rungs in brackets)
    most = max(rungs[0][0] for rungs in brackets)
    longest = max(len(rungs) for rungs in brackets)
    shades = plt.get_cmap("Greens")(np.linspace(0.35, 0.95, longest))
    for rungs, panel in zip(brackets, panels, strict=True):
        before = 0.6
        for i, (configs, epochs) in enumerate(rungs):
            shade = shades[longest - len(rungs) + i]
            panel.barh(configs / 2, epochs - before, left=before, height=configs, color=shade, linewidth=0)
            panel.hlines(np.arange(1, configs), before, epochs, color="white", linewidth=0.5)
            panel.text(epochs * 0.93, configs + 0.012 * most, str(configs), ha="right", va="bottom", fontsize=9)
            before = epochs
        panel.set_xscale("log")
        ticks = sorted({epochs for rungs in brackets for _, epochs in rungs})
        panel.set_xticks(ticks, [str(tick) for tick in ticks])
        panel.minorticks_off()
        panel.set(xlim=(0.6, last * 1.15), ylim=(0, most * 1.06), xlabel="epochs of a configuration")
        saved = rung_epochs(rungs, resume=False)
        panel.set_title(f"s = {len(rungs) - 1}\n{rung_epochs(rungs)} epochs ({saved} restarting)", fontsize=10)
        _style(panel)
        panel.grid(axis="y", visible=False)
    panels[0].set_ylabel("configurations")
    total, restarted = (sum(rung_epochs(rungs, resume) for rungs in brackets) for resume in (True, False))
    if len(brackets) > 1:
        panels[0].figure.suptitle(f"Hyperband: {total:,} epochs in all, {restarted:,} when every rung restarts")
    return panels[0].figure


def plot_gaussian_process(
    searcher: GaussianProcessSearcher,
    name: str | None = None,
    truth: Callable[[float], float] | None = None,
    *,
    axes: Any = None,
) -> Any:
    """What the Gaussian process believes along one hyper-parameter, and below it the acquisition function.

    Other hyper-parameters stay at the best trial's values.  The band is two standard deviations, the dotted line marks
    where the acquisition function is highest; trials far from these values are faint.  A legend only where there is room for
    it, in a figure of its own.

    Args:
        name: of a numeric hyper-parameter; None takes the first.
        truth: the objective along it, for toy problems.
        axes: 2, the process and the acquisition function.

    >>> searcher = GaussianProcessSearcher({"x": ([0.0, 1.0], "float")})
    >>> searcher.units, searcher.values = np.array([[0.1], [0.5], [0.9]]), np.array([0.3, 0.2, 0.4])
    >>> plot_gaussian_process(searcher).axes[0].get_title()
    'after 3 trials'
    """
    space, searched = searcher.space, searcher.values
    d = 0 if name is None else space.names.index(name)
    parameter = space.dimensions[d].parameter
    alone = axes is None
    if alone:
        import matplotlib.pyplot as plt

        _, axes = plt.subplots(2, 1, figsize=(7, 5.2), height_ratios=[2.2, 1], sharex=True, layout="constrained")
    upper, lower = np.ravel(axes)
    surrogate = searcher.surrogate()
    line = np.linspace(0.0, 1.0, 401)
    points = np.repeat(searcher.units[[np.argmin(searched)]], len(line), axis=0)
    points[:, d] = line
    mean, std = surrogate.predict(points)
    x = positions(parameter, line)
    low, middle, high = (surrogate.to_values(mean + k * std) for k in (-2, 0, 2))
    tried = positions(parameter, searcher.units[:, d])
    alive = np.isfinite(searched)
    shown = np.concatenate([searched[alive], middle[np.isfinite(middle)]])
    margin = 0.35 * (shown.max() - shown.min() or 1.0)
    bottom, top = shown.min() - margin, shown.max() + margin
    upper.fill_between(
        x,
        np.clip(low, bottom, top),
        np.clip(high, bottom, top),
        color=GOOD,
        alpha=0.16,
        linewidth=0,
        label="mean +- 2 std",
    )
    upper.plot(x, np.clip(middle, bottom, top), color=GOOD, linewidth=2, label="mean")
    if truth is not None:
        upper.plot(x, [truth(value) for value in x], "--", color=MUTED, linewidth=1.2, label="objective")
    on_slice = np.delete(np.abs(searcher.units - points[0]), d, axis=1).max(axis=1, initial=0.0) < 0.05
    for here, opacity, label in ((alive & on_slice, 1.0, "trials"), (alive & ~on_slice, 0.25, "trials elsewhere")):
        if here.any():
            upper.plot(
                tried[here], searched[here], "o", color="black", markersize=5, alpha=opacity, zorder=4, label=label
            )
    upper.set_ylim(bottom, top)
    _mark_failed(upper, tried[~alive])
    gain = ACQUISITIONS[searcher.acquisition](mean, std, surrogate.best)
    lower.fill_between(x, min(0.0, gain.min()), gain, color=BAD, alpha=0.25, linewidth=0)
    lower.plot(x, gain, color=BAD, linewidth=1.5)
    for axis in (upper, lower):
        axis.axvline(x[np.argmax(gain)], color=BAD, linewidth=1, linestyle=":")
        _style(axis)
    upper.set(ylabel="value", title=f"after {len(searched)} trials")
    full = {"ei": "expected\nimprovement", "pi": "probability of\nimprovement", "ucb": "confidence\nbound"}
    lower.set(xlabel=space.names[d], ylabel=full[searcher.acquisition])
    lower.set_yticks([])
    scale_axis(lower, parameter)
    scale_axis(upper, parameter)
    if alone:
        upper.legend(frameon=False, fontsize=9, ncols=2)
    return upper.figure


def plot_tpe(searcher: TPESearcher, name: str, *, axes: Any = None) -> Any:
    """TPE along one hyper-parameter: the good and the bad trials, below them their densities l and g and where l / g is highest.

    Args:
        axes: 2, the trials and the densities.

    Raises:
        ValueError: no trial has a finite value yet.

    >>> searcher = TPESearcher({"x": ([0.0, 1.0], "float")})
    >>> searcher.units, searcher.values = np.array([[0.1], [0.5], [0.9]]), np.array([0.3, 0.2, 0.4])
    >>> [text.get_text() for text in plot_tpe(searcher, "x").axes[0].get_legend().get_texts()]
    ['2 bad trials', '1 good trial']
    """
    if not np.isfinite(searcher.values).any():
        raise ValueError("expected a searcher that has been told at least one finite value")
    d = searcher.space.names.index(name)
    parameter = searcher.space.dimensions[d].parameter
    if axes is None:
        import matplotlib.pyplot as plt

        _, axes = plt.subplots(2, 1, figsize=(7, 5.4), sharex=True, layout="constrained")
    upper, lower = np.ravel(axes)
    values = searcher.values
    good, bad = searcher.split()
    good_density, bad_density = searcher.densities()
    active = searcher.cube.active(searcher.units)[:, d]
    tried = positions(parameter, searcher.units[:, d])
    if isinstance(parameter, Choice):
        tried = tried + np.random.default_rng(0).uniform(-0.2, 0.2, len(tried))
    for group, colour, label in ((bad, MUTED, "bad"), (good, GOOD, "good")):
        here = group[active[group] & np.isfinite(values[group])]
        upper.plot(
            tried[here],
            values[here],
            "o",
            color=colour,
            markersize=6,
            label=f"{len(group)} {label} trial{'s' * (len(group) != 1)}",
        )
    failed = np.flatnonzero(~np.isfinite(values) & active)
    _mark_failed(upper, tried[failed])
    upper.axhline(values[good].max(), color=GOOD, linewidth=1, linestyle=":")
    upper.set(ylabel="value", title=f"after {len(values)} trials: step one, split; step two, compare densities")
    upper.legend(frameon=False)
    if isinstance(parameter, Choice):
        cells = np.array([parameter.to_unit(i) for i in range(parameter.size)])
        shares = np.diff(np.asarray(searcher.cube.edges[d]))
        for shift, density, colour, label in ((-0.2, good_density, GOOD, "l"), (0.2, bad_density, MUTED, "g")):
            height = density.marginal(name, cells) * shares
            lower.bar(
                np.arange(parameter.size) + shift,
                height,
                0.38,
                color=colour,
                label=f"{label}: {'good' if label == 'l' else 'bad'}",
            )
        lower.set_ylabel("probability")
    else:
        line = np.linspace(0.0, 1.0, 401)
        x, l_x, g_x = positions(parameter, line), good_density.marginal(name, line), bad_density.marginal(name, line)
        for curve, colour, label in ((l_x, GOOD, "l: good"), (g_x, MUTED, "g: bad")):
            lower.fill_between(x, curve, color=colour, alpha=0.2, linewidth=0)
            lower.plot(x, curve, color=colour, linewidth=2, label=label)
        ratio = l_x / g_x
        lower.plot(
            x, ratio / ratio.max() * max(l_x.max(), g_x.max()), "--", color=BAD, linewidth=1.2, label="l / g (scaled)"
        )
        lower.axvline(x[np.argmax(ratio)], color=BAD, linewidth=1, linestyle=":")
        lower.set(ylabel="density (unit coordinates)", ylim=(0, None))
    lower.set_xlabel(name)
    lower.legend(frameon=False)
    for axis in (upper, lower):
        _style(axis)
        scale_axis(axis, parameter)
    return upper.figure


def plot_policy(controller: ReinforceController, *, columns: int = 3, axes: Any = None) -> Any:
    """Probability of every option over the rounds of a controller, one panel per choice.

    axes, if given, are as many as the space has dimensions.

    >>> controller = ReinforceController({"act": ["relu", "tanh"], "width": [8, 16]})
    >>> [axes.get_title() for axes in plot_policy(controller).axes]
    ['act', 'width']
    """
    dims = len(controller.space.dimensions)
    if axes is None:
        import matplotlib.pyplot as plt

        columns = min(columns, dims)
        rows = -(-dims // columns)
        _, grid = plt.subplots(
            rows,
            columns,
            figsize=(3.7 * columns, 2.7 * rows),
            squeeze=False,
            sharex=True,
            sharey=True,
            layout="constrained",
        )
        axes = grid.flat
        for axis in list(grid.flat)[dims:]:
            axis.set_visible(False)
        for axis in grid[-1]:
            axis.set_xlabel("round")
        for row in grid:
            row[0].set_ylabel("probability")
    panels = list(axes) if np.ndim(axes) or hasattr(axes, "__iter__") else [axes]
    rounds = np.arange(len(controller.policy_history))
    for panel, dimension in zip(panels, controller.space.dimensions, strict=False):
        history = np.array([policy[dimension.name] for policy in controller.policy_history])
        parameter = dimension.parameter
        options = parameter.listed() if isinstance(parameter, Choice) else parameter.values()  # type: ignore[union-attr]
        for k, option in enumerate(options):
            panel.plot(rounds, history[:, k], color=f"C{k}", linewidth=2, label=option_label(option))
        panel.set(title=dimension.name, ylim=(-0.02, 1.02))
        panel.legend(frameon=False, fontsize=8, loc="center right")
        _style(panel)
    return panels[0].figure


def _mark_failed(axis: Any, x: NDArray) -> None:
    """Crosses at the upper end of the axis."""
    if len(x):  # an empty line that is not clipped would confuse the layout
        axis.plot(x, np.full(len(x), axis.get_ylim()[1]), "x", color=BAD, clip_on=False)
