"""Figures for `exercise_code.bias_variance`; each returns the matplotlib Figure and imports matplotlib when it is called."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from exercise_code.bias_variance import Diagnosis, SplitPlan, dev_size_for_change
from exercise_code.plots import BAD, DEV, INK, MUTED, TRAIN, _style


def plot_diagnosis(diagnoses: Mapping[str, Diagnosis]) -> Any:
    """Human, training, dev and test accuracy of one or more networks as a staircase; a step that matters is red.

    >>> from exercise_code.bias_variance import diagnose
    >>> figure = plot_diagnosis({"wide net": diagnose(0.97, 0.94, 0.85)})
    >>> bool(figure.axes)
    True
    """
    import matplotlib.pyplot as plt

    figure, grid = plt.subplots(
        1, len(diagnoses), figsize=(0.8 + 2.9 * len(diagnoses), 3.7), sharey=True, squeeze=False
    )
    for axes, (title, diagnosis) in zip(grid[0], diagnoses.items(), strict=True):
        names = [diagnosis.gaps[0].upper_name, *(gap.lower_name for gap in diagnosis.gaps)]
        levels = [100 * value for value in (diagnosis.gaps[0].upper, *(gap.lower for gap in diagnosis.gaps))]
        axes.bar(
            range(len(levels)), levels, width=0.66, color=[MUTED, TRAIN, DEV, INK][: len(levels)], alpha=0.9, zorder=2
        )
        for i, level in enumerate(levels):
            axes.annotate(f"{level:.0f} %", (i, 3), ha="center", color="white", fontsize=9, zorder=4)
        for i, gap in enumerate(diagnosis.gaps):
            top, bottom = 100 * gap.upper, 100 * gap.lower
            colour = BAD if gap.found else MUTED
            axes.plot([i + 0.31, i + 1.31], [top, top], color=colour, linewidth=1, zorder=3)
            if gap.found:
                axes.annotate(
                    "",
                    (i + 1, bottom),
                    (i + 1, top),
                    arrowprops={"arrowstyle": "<->", "color": BAD, "shrinkA": 0, "shrinkB": 0},
                )
            points = f"{round(100 * gap.size):+d}"  # never "-0"
            label = f"{gap.problem}\n{points}" if gap.found else points
            axes.annotate(
                label,
                (i + 1, max(top, bottom)),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                fontsize=9,
                color=colour,
            )
        axes.set(xticks=range(len(names)), ylim=(0, 118), yticks=range(0, 101, 20))
        axes.set_xticklabels(names)
        axes.set_title(f"{title}: {diagnosis.name}" if title else diagnosis.name, color=INK, fontsize=11)
        _style(axes)
        axes.grid(axis="x", visible=False)
    grid[0, 0].set_ylabel("accuracy (%)")
    figure.tight_layout()
    return figure


def plot_split_sizing(plan: SplitPlan, *, error_rate: float = 0.1) -> Any:
    """Left: the parts of a split.  Right: samples that a dev set needs to show a change, and where this one stands.

    >>> from exercise_code.bias_variance import plan_split
    >>> len(plot_split_sizing(plan_split(1000)).axes)
    2
    """
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), width_ratios=(1.15, 1))
    changes = np.geomspace(0.002, error_rate, 60)
    needed = np.array([dev_size_for_change(error_rate, change) for change in changes])
    start, total = 0, plan.train + plan.val + plan.test
    for name, size, colour in (("train", plan.train, TRAIN), ("dev", plan.val, DEV), ("test", plan.test, INK)):
        left.barh(0, size, left=start, color=colour, height=0.5, edgecolor="white")
        wide = size > 0.12 * total
        left.annotate(
            f"{name}\n{size:,}",
            (start + size / 2, 0 if wide else {"dev": -0.36, "test": 0.36}[name]),
            ha="center",
            va="center",
            color="white" if wide else colour,
            fontsize=9,
        )
        start += size
    left.set(ylim=(-0.6, 0.6), xlim=(0, total), title=f"{total:,} samples")
    left.set_axis_off()
    right.plot(100 * changes, needed, color=INK, zorder=3)
    right.axhline(plan.val, color=DEV, linestyle="--")
    right.annotate(
        f"this dev set: {plan.val:,}",
        (int(right_side := plan.val > np.sqrt(needed[0] * needed[-1])), plan.val),  # on the side where the curve is far
        xycoords=("axes fraction", "data"),
        xytext=(-4 if right_side else 4, 4),
        textcoords="offset points",
        ha="right" if right_side else "left",
        color=DEV,
        fontsize=9,
    )
    right.set(xscale="log", yscale="log", ylabel="samples needed")
    right.set(xlabel=f"change to see, in points (error rate {100 * error_rate:g} %)")
    ticks = [tick for tick in (0.2, 0.5, 1, 2, 5, 10, 20, 50) if tick <= 100 * error_rate]
    right.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    right.xaxis.minorticks_off()
    right.set_title("small changes need large dev sets", fontsize=11)
    _style(right)
    figure.suptitle(plan.advice, color=INK)
    figure.tight_layout()
    return figure
