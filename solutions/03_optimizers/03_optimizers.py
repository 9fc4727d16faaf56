# %% [markdown]
# # Exercise 03: Optimizers, and how fast to learn
#
# A gradient says in which direction the loss falls *here*. It does not say how far to go, and on a long narrow slope it does not even
# point at the goal. Fifty years of ideas have gone into that gap. This week you write the ones that are still used, watch them walk, and
# find the learning rate of a network instead of guessing it.
#
# You will
#
# 1. see why plain gradient descent zigzags, and how large a learning rate it can bear,
# 2. write momentum, Nesterov, AdaGrad, RMSProp, AdaDelta and Adam, one or two lines each,
# 3. watch all of them on a narrow valley, on a saddle and on a bent one,
# 4. write Newton's step and L-BFGS, and see what they need and what they cost,
# 5. write schedules and the learning-rate range test, and train a network with them,
# 6. measure how the best learning rate depends on the batch size.
#
# Set aside two to three hours. The computer works for one to two minutes in total on two CPU cores. No GPU needed.
#
# **How a task works.** Replace the line that raises `NotImplementedError`. The cell below checks your code: *right*, *wrong*
# (with what was expected, what came, and where to look) or *not attempted*. Stuck? Run `hint("momentum_update")` in any cell, then
# `hint("momentum_update", 2)` and `hint("momentum_update", 3)`: every hint says more than the one before. **Spot the bug** tasks show
# code that looks right and is not; all three follow printed slides, line by line. **Questions** are answered in words, in the cell
# below them, and read by a person. Once a check says *right*, the package itself uses your code, until the kernel restarts: then run
# everything from the top again. A cell that stops with a `NotImplementedError` or a `NameError` waits for a task or a cell above it.

# %% [markdown]
# ## 0 Set-up
#
# **Only on Colab:** upload the course's `03_optimizers.zip` with the folder symbol on the left, and run the next cell. It unpacks
# the zip and installs what Colab lacks. In JupyterLab and VS Code skip it; it does nothing there.

# %%
import os
import subprocess
import sys
import zipfile

if "google.colab" in sys.modules and os.path.isfile("03_optimizers.zip"):
    with zipfile.ZipFile("03_optimizers.zip") as bundle:
        bundle.extractall()
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "onnx", "onnxruntime", "pooch"], check=True)
    os.chdir("exercises/03_optimizers")

# %%
import math
import os
import sys
import tempfile
from collections.abc import Callable, Sequence

folder = os.getcwd()  # find the course package from wherever the notebook was opened
while not os.path.isdir(os.path.join(folder, "exercise_code")) and folder != os.path.dirname(folder):
    folder = os.path.dirname(folder)
if os.path.isdir(os.path.join(folder, "exercise_code")) and folder not in sys.path:
    sys.path.insert(0, folder)

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image, display
from matplotlib.animation import FuncAnimation, PillowWriter
from numpy.typing import NDArray
from tqdm.auto import tqdm

from exercise_code.checks import check, hint
from exercise_code.data import (
    ComposeTransform,
    DataLoader,
    FlattenTransform,
    ImageFolderDataset,
    NormalizeTransform,
    RescaleTransform,
    compute_image_mean_and_std,
)
from exercise_code.data.registry import fetch_or_stand_in
from exercise_code.lr_range_test import lr_range_test
from exercise_code.networks import ClassificationNet
from exercise_code.networks.layer import Relu
from exercise_code.networks.loss import CrossEntropyFromLogits
from exercise_code.networks.optimizer import SGD, AdaDelta, AdaGrad, Adam, Nesterov, RMSProp, SGDMomentum
from exercise_code.networks.second_order import minimize
from exercise_code.schedule_plots import plot_schedules
from exercise_code.schedules import Cosine, Cyclic, OneCycle, StepDecay, WarmRestarts
from exercise_code.solver import Solver
from exercise_code.submit import submit

# The grader and our tests run this notebook with fewer repetitions; you will not need this switch.
FAST = os.environ.get("EXERCISE_FAST") == "1"

# %% [markdown]
# ## 1 How far is too far?
#
# Near a minimum every smooth loss looks like a quadratic, $f(w) = \frac12 w^\top H w$, where $H$ is the **Hessian**, the matrix of second
# derivatives. Along a direction in which the curvature is $h$, a step of gradient descent multiplies the distance to the minimum by $1 - \mathrm{lr} \cdot h$. That shrinks as long as
# $|1 - \mathrm{lr} \cdot h| < 1$. Below: curvature 1 along one axis, 25 along the other, and three learning rates.


# %%
H = np.diag([1.0, 25.0])


def valley(w: NDArray) -> NDArray:
    """Return the loss of points (..., 2)."""
    return 0.5 * (w[..., 0] ** 2 + 25 * w[..., 1] ** 2)


def valley_gradient(w: NDArray) -> NDArray:
    return H @ w


def draw_surface(axis, f: Callable, limits: tuple[float, float, float, float], levels: int = 14) -> None:
    """Draw contour lines of f, denser near its lowest value."""
    x, y = np.meshgrid(np.linspace(*limits[:2], 160), np.linspace(*limits[2:], 160))
    values = f(np.stack([x, y], axis=-1))
    low, high = values.min(), values.max()
    axis.contour(
        x, y, values, levels=low + (high - low) * np.linspace(0.02, 1, levels) ** 2, cmap="Greys_r", linewidths=0.7
    )
    axis.set(xlim=limits[:2], ylim=limits[2:])


BOX = (-9.5, 3, -2.6, 2.6)
figure, axes = plt.subplots(1, 3, figsize=(13, 3.2))
for axis, lr in zip(axes, (0.01, 0.07, 0.0805), strict=True):
    path = [np.array([-9.0, 1.5])]
    for _ in range(40):
        path.append(path[-1] - lr * valley_gradient(path[-1]))
    draw_surface(axis, valley, BOX)
    axis.plot(*np.array(path).T, "C0.-", markersize=4, linewidth=1)
    axis.plot(0, 0, "k+", markersize=10)
    axis.set_title(f"lr = {lr}: loss {valley(path[-1]):.2g} after 40 steps", fontsize=10)
figure.tight_layout()
plt.show()

# %% [markdown]
# Too small and the flat direction takes for ever; a little more and the steep direction blows up. The ratio of the two curvatures, here 25,
# is the **condition number**, and real networks have thousands. All the rest of this exercise is about getting around that picture.
#
# Where exactly does it tip over? Return the learning rate below which gradient descent on a quadratic converges, and above which it does
# not. The Hessian is symmetric and *positive definite* (curved upwards in every direction), but its steep direction need not be an axis.


# %% task="largest_learning_rate"
def largest_learning_rate(hessian: NDArray) -> float:
    """Return the bound on the learning rate for a symmetric, positive definite Hessian of shape (D, D)."""
    ### BEGIN SOLUTION 03_optimizers
    return 2 / float(np.linalg.eigvalsh(hessian)[-1])
    ### END SOLUTION


# %% check="largest_learning_rate"
check("largest_learning_rate", largest_learning_rate)
### BEGIN HIDDEN TESTS
check("largest_learning_rate", largest_learning_rate, seed=312)
assert abs(largest_learning_rate(np.array([[5.0, 3.0], [3.0, 5.0]])) - 0.25) < 1e-9
### END HIDDEN TESTS

# %%
print(f"bound for the valley above: {largest_learning_rate(H):.4f}")

# %% [markdown]
# ## 2 Momentum
#
# In the zigzag the steep components cancel from step to step, and the small ones along the valley agree. So add the steps up: keep a
# **velocity** that forgets slowly.
#
# $$v \leftarrow \beta v - \mathrm{lr}\,\nabla f(w), \qquad w \leftarrow w + v$$
#
# All rules of this week are functions of one form: they get the weights, the gradient and the rule's memory (arrays of the same shape, 0 at
# the start), and return new weights and new memory. Arrays that came in stay as they were. The package has the same rules for whole
# networks, in a form that saves memory and time; here they are as one writes them on paper.

# %% task="momentum_update" source="exercise_code.networks.updates:momentum_update"

# %% check="momentum_update"
check("momentum_update", momentum_update)
### BEGIN HIDDEN TESTS
check("momentum_update", momentum_update, seed=313)
_w, _v = momentum_update(np.array([1.0, -1.0]), np.array([2.0, 4.0]), np.array([0.5, 1.0]), lr=0.25, momentum=0.5)
assert np.allclose(_w, [0.75, -1.5]) and np.allclose(_v, [-0.25, -0.5])
### END HIDDEN TESTS

# %% [markdown]
# Some write $v \leftarrow \beta v + \mathrm{lr}\,\nabla f$ and $w \leftarrow w - v$: the same walk with the other sign of $v$. Mixing the two
# up is a classic, because half of each still looks right.
#
# `walk` below runs any of your rules from a start; `memory` says how many arrays it remembers.


# %%
def walk(
    update: Callable, gradient: Callable, start: Sequence[float], steps: int, memory: int = 1, **settings
) -> NDArray:
    """Return the path (steps + 1, D) of a rule; the walk ends early where it leaves all bounds."""
    w = np.array(start, dtype=np.float64)
    kept, path = [np.zeros_like(w) for _ in range(memory)], [w]
    for _ in range(steps):
        w, *kept = update(w, gradient(w), *kept, **settings)
        if not np.all(np.abs(w) < 1e6):
            break
        path.append(w)
    return np.array(path)


def plain_update(w: NDArray, dw: NDArray, lr: float) -> tuple[NDArray]:
    return (w - lr * dw,)


start = [-9.0, 1.5]
paths = {
    "plain, lr 0.07": walk(plain_update, valley_gradient, start, 60, memory=0, lr=0.07),
    "momentum 0.6": walk(momentum_update, valley_gradient, start, 60, lr=0.05, momentum=0.6),
    "momentum 0.9": walk(momentum_update, valley_gradient, start, 60, lr=0.02, momentum=0.9),
}
figure, axes = plt.subplots(1, 2, figsize=(13, 3.6), width_ratios=[3, 2])
draw_surface(axes[0], valley, (-9.5, 5, -2.6, 2.6))
for name, path in paths.items():
    axes[0].plot(*path.T, ".-", markersize=4, linewidth=1, label=name)
    axes[1].semilogy(valley(path), label=name)
axes[0].legend(frameon=False, loc="lower left", fontsize=8)
axes[1].set(xlabel="step", title="loss")
axes[1].grid(alpha=0.3)
figure.tight_layout()
plt.show()

# %% [markdown]
# Momentum 0.6 damps the zigzag and is soon far ahead; 0.9 overshoots the minimum and swings back, like the heavy ball it is named after. With
# a constant gradient the speed grows to lr / (1 - momentum), ten times the learning rate for 0.9: **raise the momentum, lower the learning
# rate**.
#
# ### 2.1 Spot the bug: Nesterov's sign
#
# Nesterov's idea: the velocity will carry you to $W + \beta v$ anyway, so take the gradient *there* and correct earlier.
#
# $$v \leftarrow \beta v - \mathrm{lr}\,\nabla f(W + \beta v), \qquad W \leftarrow W + v$$
#
# The trouble is that a training loop computes the gradient where the weights are. So one *stores* the point ahead, $w = W + \beta v$, instead
# of $W$. Then the gradient is taken at $w$, and only the formula for the step changes. This code follows a slide that does this change of
# variable, and it is compared with the idea itself.


# %%
def nesterov_as_found(w: NDArray, dw: NDArray, v: NDArray, lr: float, momentum: float = 0.9) -> tuple[NDArray, NDArray]:
    new_v = momentum * v - lr * dw
    return w + (1 - momentum) * new_v + momentum * v, new_v


def look_ahead_walk(gradient: Callable, start: Sequence[float], steps: int, lr: float, momentum: float) -> NDArray:
    """Return the points ahead, W + momentum * v, of Nesterov's own rule."""
    W, v, ahead = np.array(start), np.zeros(len(start)), []
    for _ in range(steps + 1):
        ahead.append(W + momentum * v)
        v = momentum * v - lr * gradient(ahead[-1])
        W = W + v
    return np.array(ahead)


truth = look_ahead_walk(valley_gradient, start, 60, lr=0.04, momentum=0.9)
found = walk(nesterov_as_found, valley_gradient, start, 60, lr=0.04)
print(
    f"look-ahead: loss {valley(truth[-1]):.2g} after 60 steps; as found: {valley(found[-1]):.2g} after {len(found) - 1}, where it left all bounds"
)

# %% [markdown]
# It diverges where the idea converges. Derive the step again: before it $W = w - \beta v$ with the **old** velocity, after it
# $W = w - \beta v$ with the **new** one.

# %% task="nesterov_update" source="exercise_code.networks.updates:nesterov_update"

# %% check="nesterov_update"
check("nesterov_update", nesterov_update)
### BEGIN HIDDEN TESTS
check("nesterov_update", nesterov_update, seed=314)
_w, _v = nesterov_update(np.array([1.0]), np.array([2.0]), np.array([1.0]), lr=0.25, momentum=0.5)
assert np.allclose(_w, [0.5]) and np.allclose(_v, [0.0])  # W = 0.5, v = 0.5 - 0.5 = 0, W stays, nothing ahead of it
### END HIDDEN TESTS

# %%
mine = walk(nesterov_update, valley_gradient, start, 60, lr=0.04)
print(f"largest distance from the look-ahead walk: {np.abs(mine - truth).max():.1e}")

# %% [markdown]
# Expect something below 1e-13: the same walk, with only rounding between them.
#
# ## 3 A learning rate for every weight
#
# Momentum still has one learning rate for the flat and the steep direction. The other idea: divide each weight's gradient by how large its
# gradients usually are.
#
# **AdaGrad** adds up all squares that ever came. Everything is entry by entry.
#
# $$g \leftarrow g + (\nabla f)^2, \qquad w \leftarrow w - \mathrm{lr}\,\frac{\nabla f}{\sqrt{g} + \varepsilon}$$

# %% task="adagrad_update" source="exercise_code.networks.updates:adagrad_update"

# %% check="adagrad_update"
check("adagrad_update", adagrad_update)
### BEGIN HIDDEN TESTS
check("adagrad_update", adagrad_update, seed=315)
_w, _g = adagrad_update(np.array([1.0, 1.0]), np.array([3.0, -0.6]), np.array([16.0, 0.64]), lr=1.0)
assert np.allclose(_w, [0.4, 1.6]) and np.allclose(_g, [25.0, 1.0])
### END HIDDEN TESTS

# %% [markdown]
# The sum only grows, so the steps only shrink: under a constant gradient step $t$ is $\mathrm{lr}/\sqrt{t}$. **RMSProp** replaces the sum
# by a moving average, which forgets.
#
# $$g \leftarrow \beta g + (1 - \beta)\,(\nabla f)^2, \qquad w \leftarrow w - \mathrm{lr}\,\frac{\nabla f}{\sqrt{g} + \varepsilon}$$

# %% task="rmsprop_update" source="exercise_code.networks.updates:rmsprop_update"

# %% check="rmsprop_update"
check("rmsprop_update", rmsprop_update)
### BEGIN HIDDEN TESTS
check("rmsprop_update", rmsprop_update, seed=316)
_w, _g = rmsprop_update(np.array([1.0]), np.array([2.0]), np.array([16.0]), lr=1.0, beta=0.25)
assert np.allclose(_g, [7.0]) and np.allclose(_w, [1 - 2 / np.sqrt(7.0)])
### END HIDDEN TESTS

# %% [markdown]
# ### 3.1 Spot the bug: the optimizer that never moves
#
# **AdaDelta** wants to get rid of the learning rate: a step should have the unit of the weights, not of the gradient. So it puts in its
# place the typical size of its own past steps, a second moving average $p$. This code follows a slide:


# %%
def adadelta_as_found(
    w: NDArray, dw: NDArray, g: NDArray, p: NDArray, beta: float = 0.9, eps: float = 1e-6
) -> tuple[NDArray, NDArray, NDArray]:
    g = beta * g + (1 - beta) * dw**2
    step = np.sqrt(p) / np.sqrt(g + eps) * dw
    p = beta * p + (1 - beta) * step**2
    return w - step, g, p


path = walk(adadelta_as_found, lambda w: 2 * w, [5.0], 100, memory=2)
print("w after 0, 1, 10 and 100 steps on w**2:", path[[0, 1, 10, 100], 0])

# %% [markdown]
# Find out why, and write it so that it moves.

# %% task="adadelta_update" source="exercise_code.networks.updates:adadelta_update"

# %% check="adadelta_update"
check("adadelta_update", adadelta_update)
### BEGIN HIDDEN TESTS
check("adadelta_update", adadelta_update, seed=317)
_w, _g, _p = adadelta_update(np.array([0.0]), np.array([-2.0]), np.array([6.0]), np.array([3.0]), beta=0.5, eps=1.0)
assert np.allclose(_g, [5.0]) and np.allclose(_w, [2 * np.sqrt(4 / 6)]) and np.allclose(_p, [1.5 + 0.5 * 16 / 6])
### END HIDDEN TESTS

# %%
path = walk(adadelta_update, lambda w: 2 * w, [5.0], 3000, memory=2)
for steps in (1, 10, 100, 1000, 3000):
    print(f"after {steps:4} steps: w = {path[steps, 0]:.4f}")

# %% [markdown]
# Now it moves, slowly at first: the first step has the size $\sqrt{\varepsilon / (1 - \beta)}$ = 0.003, and the steps have to grow from there.
# The $\varepsilon$ that most people take for a guard against division by zero is what sets this walk in motion.
#
# ### 3.2 Adam
#
# Adam takes both ideas: an average $m$ of the gradients (momentum) over the root of an average $v$ of their squares (RMSProp).
#
# $$m \leftarrow \beta_1 m + (1 - \beta_1)\,\nabla f, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\,(\nabla f)^2$$
#
# Both begin at 0, so at first they are too small. After $t$ steps the shares of all gradients add up to $1 - \beta^t$ only, so divide by that:
#
# $$w \leftarrow w - \mathrm{lr}\,\frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \varepsilon}, \qquad t = 1, 2, 3, \ldots$$
#
# (A lecture slide counts from $t = 0$. Try what $1 - \beta^0$ is.)

# %% task="adam_update" source="exercise_code.networks.updates:adam_update"

# %% check="adam_update"
check("adam_update", adam_update)
### BEGIN HIDDEN TESTS
check("adam_update", adam_update, seed=318)
_w, _m, _v = adam_update(np.array([0.0]), np.array([1.0]), np.array([1.0]), np.array([1.0]), 2, 1.0, 0.5, 0.5)
assert np.allclose(_w, [-(1 / 0.75) / np.sqrt(1 / 0.75)]) and np.allclose(_m, [1.0]) and np.allclose(_v, [1.0])
### END HIDDEN TESTS

# %% [markdown]
# What does the correction do? The size of the steps under a constant gradient of 1, with lr = 1. The right size is 1.


# %%
def counting_adam() -> Callable:
    """Return your Adam with a step counter of its own, so that `walk` can use it."""
    count = 0

    def update(w: NDArray, dw: NDArray, m: NDArray, v: NDArray, **settings) -> tuple:
        nonlocal count
        count += 1
        return adam_update(w, dw, m, v, count, **settings)

    return update


def uncorrected_adam(w: NDArray, dw: NDArray, m: NDArray, v: NDArray, lr: float) -> tuple:
    return adam_update(w, dw, m, v, 10**9, lr)  # so large a t that both divisors are 1


steps = 3000
figure, axis = plt.subplots(figsize=(9, 3.4))
for name, rule, memory in [
    ("Adam", counting_adam(), 2),
    ("Adam without correction", uncorrected_adam, 2),
    ("RMSProp (β = 0.99)", rmsprop_update, 1),
    ("AdaGrad", adagrad_update, 1),
]:
    sizes = -np.diff(walk(rule, lambda w: np.ones(1), [0.0], steps, memory, lr=1.0)[:, 0])
    axis.loglog(range(1, steps + 1), sizes, label=name)
    print(f"{name:24} first step {sizes[0]:6.3f}, largest {sizes.max():6.3f}, last {sizes[-1]:.3f}")
axis.set(xlabel="step", ylabel="size of the step", title="A constant gradient of 1, learning rate 1")
axis.grid(alpha=0.3)
axis.legend(frameon=False, loc="lower left")
plt.show()

# %% [markdown]
# **Question: the first steps** (2 points). Without the correction Adam's first step is 3.16 times too large. Both averages are too small
# at the start: where does 3.16 come from, why is the step too *large* all the same, and why does it get worse before it gets better?
# RMSProp's first step is 10 times too large here, and it has no correction at all: name two things one could do about it.

# %% [markdown] question="first_steps"
# At t = 1 the averages are m = 0.1 g and v = 0.001 g^2. The step uses m over the root of v, so 0.1 / sqrt(0.001) = 3.16. Both are too small,
# but the denominator is so by the root of 0.001, which is 0.032, and the numerator only by 0.1: dividing by the smaller number wins. m
# catches up within some ten steps (beta1 = 0.9), v needs about a thousand (beta2 = 0.999), so the quotient first grows further, to more
# than 6, before it falls to 1. RMSProp divides by sqrt(1 - beta) = 0.1. Cures: divide g by 1 - beta^t as Adam does; start with a small
# learning rate (warm-up); set g to the first squared gradient; a smaller beta. One point for the quotient with its numbers, one for two cures.

# %% [markdown]
# ## 4 The race
#
# All your rules on three surfaces, each with a learning rate that suits it there.
#
# - **The valley** of section 1.
# - **A saddle** between two minima: flat across, and it starts almost exactly on the ridge, where there is hardly any gradient to follow.
# - **A bent valley** (Rosenbrock's function): its floor is almost flat and curves, and no single direction is the right one.


# %%
def saddle(w: NDArray) -> NDArray:
    return (w[..., 0] ** 2 - 1) ** 2 / 4 + w[..., 1] ** 2 / 2


def saddle_gradient(w: NDArray) -> NDArray:
    return np.array([w[0] ** 3 - w[0], w[1]])


def rosenbrock(w: NDArray) -> NDArray:
    return (1 - w[..., 0]) ** 2 + 20 * (w[..., 1] - w[..., 0] ** 2) ** 2


def rosenbrock_gradient(w: NDArray) -> NDArray:
    off = w[1] - w[0] ** 2
    return np.array([-2 * (1 - w[0]) - 80 * w[0] * off, 40 * off])


# name -> (rule, number of memory arrays)
RULES = {
    "plain": (lambda: plain_update, 0),
    "momentum": (lambda: momentum_update, 1),
    "Nesterov": (lambda: nesterov_update, 1),
    "AdaGrad": (lambda: adagrad_update, 1),
    "RMSProp": (lambda: rmsprop_update, 1),
    "AdaDelta": (lambda: adadelta_update, 2),
    "Adam": (counting_adam, 2),
}
SURFACES = {
    "valley": (valley, valley_gradient, [-9.0, 1.5], (-9.5, 3, -2.6, 2.6), [(0, 0)]),
    "saddle": (saddle, saddle_gradient, [0.001, 1.5], (-1.6, 1.6, -0.9, 1.7), [(1, 0), (-1, 0)]),
    "bent valley": (rosenbrock, rosenbrock_gradient, [-1.5, 1.5], (-2, 2, -0.8, 3), [(1, 1)]),
}
SETTINGS = {
    "valley": {
        "plain": {"lr": 0.07}, "momentum": {"lr": 0.02}, "Nesterov": {"lr": 0.02}, "AdaGrad": {"lr": 1.0},
        "RMSProp": {"lr": 0.1, "beta": 0.9}, "AdaDelta": {"eps": 2e-3}, "Adam": {"lr": 0.3},
    },
    "saddle": {
        "plain": {"lr": 0.1}, "momentum": {"lr": 0.02}, "Nesterov": {"lr": 0.02}, "AdaGrad": {"lr": 0.1},
        "RMSProp": {"lr": 0.03, "beta": 0.9}, "AdaDelta": {"eps": 1e-4}, "Adam": {"lr": 0.03},
    },
    "bent valley": {
        "plain": {"lr": 0.004}, "momentum": {"lr": 0.001}, "Nesterov": {"lr": 0.001}, "AdaGrad": {"lr": 0.5},
        "RMSProp": {"lr": 0.02, "beta": 0.9}, "AdaDelta": {"eps": 3e-4}, "Adam": {"lr": 0.1},
    },
}  # fmt: skip

races = {
    place: {
        name: walk(make(), SURFACES[place][1], SURFACES[place][2], 200, memory, **SETTINGS[place][name])
        for name, (make, memory) in RULES.items()
    }
    for place in SURFACES
}

figure, axes = plt.subplots(3, 4, figsize=(15, 9.5), width_ratios=[1, 1, 1, 1.15])
for row, (place, (f, _, _, box, goals)) in zip(axes, SURFACES.items(), strict=True):
    for axis, steps in zip(row, (10, 40, 200), strict=False):
        draw_surface(axis, f, box)
        for goal in goals:
            axis.plot(*goal, "k+", markersize=10)
        for color, (name, path) in enumerate(races[place].items()):
            axis.plot(*path[: steps + 1].T, f"C{color}-", linewidth=1.2, label=name)
            axis.plot(*path[: steps + 1][-1], f"C{color}o", markersize=5)
        axis.set(title=f"{place}, {steps} steps", xticks=[], yticks=[])
    for color, (name, path) in enumerate(races[place].items()):
        row[3].semilogy(np.maximum(f(path), 1e-9), f"C{color}-", linewidth=1.2, label=name)
    row[3].set(title="loss", xlabel="step")
    row[3].grid(alpha=0.3)
    row[3].legend(frameon=False, fontsize=7, loc="lower left")
figure.tight_layout()
plt.show()

# %% [markdown]
# The same race as a film, a picture every few steps. It starts over by itself.

# %%
shown = [0, 60] if FAST else [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 26, 31, 37, 44, 52, 62, 74, 90, 110, 150, 200]
figure, axes = plt.subplots(1, 3, figsize=(10, 3), dpi=90)
lines = {}
for axis, (place, (f, _, _, box, goals)) in zip(axes, SURFACES.items(), strict=True):
    draw_surface(axis, f, box, levels=6)
    for goal in goals:
        axis.plot(*goal, "k+", markersize=8)
    for color, name in enumerate(RULES):
        lines[place, name] = axis.plot(
            *races[place][name][:1].T, f"C{color}-", markevery=[-1], marker="o", markersize=4, label=name
        )[0]
    axis.set(xticks=[], yticks=[], title=place)
axes[0].legend(frameon=False, fontsize=6, ncols=2, loc="upper right")
figure.tight_layout()


def show_step(step: int) -> None:
    for (place, name), line in lines.items():
        line.set_data(*races[place][name][: step + 1].T)
    for axis, place in zip(axes, SURFACES, strict=True):
        axis.set_title(f"{place}, step {step}", fontsize=9)


film = FuncAnimation(figure, show_step, frames=shown)
with tempfile.TemporaryDirectory() as scratch:
    film.save(f"{scratch}/race.gif", writer=PillowWriter(fps=3))
    with open(f"{scratch}/race.gif", "rb") as file:
        display(Image(file.read(), format="gif"))
plt.close(figure)

# %% [markdown]
# Take your time with these pictures; they hold most of what there is to say about first-order methods.
#
# - On the **valley** the rules that divide by the gradient's size leave along a diagonal: steep and flat direction get equal steps. Momentum
#   and Nesterov swing; Nesterov, which corrects earlier, swings less. (At a condition number of 25 a well-chosen plain learning rate keeps up. Make it
#   1,000 and see.)
# - On the **saddle** plain gradient descent and the momentum rules first run *into* the saddle and wait there until a tiny gradient has grown.
#   Dividing by its size makes a tiny gradient as good as a large one.
# - In the **bent valley** all fall to the floor at once; what takes long is the way along it.
# - RMSProp and AdaDelta never come quite to rest: near the minimum the gradients are small, they divide by them, and hop to and fro. AdaDelta even
#   *learns* from its hops to take larger ones. That is one reason to lower the learning rate at the end (section 6).
#
# Which one is *best* is the wrong question: another learning rate, and the order changes. Try some.
#
# ## 5 Second order: let the curvature choose the step
#
# ### 5.1 Newton
#
# If the loss is a quadratic with gradient $\nabla f$ and Hessian $H$ at $w$, then the gradient after a step $s$ is $\nabla f + H s$. Newton's
# step makes that 0. No learning rate, no zigzag: on a quadratic one step is enough. Solve for the step, do not invert the matrix.

# %% task="newton_direction" source="exercise_code.networks.second_order:newton_direction"

# %% check="newton_direction"
check("newton_direction", newton_direction)
### BEGIN HIDDEN TESTS
check("newton_direction", newton_direction, seed=319)
assert np.allclose(newton_direction(np.array([4.0, 7.0]), np.array([[2.0, 1.0], [1.0, 3.0]])), [-1.0, -2.0])
### END HIDDEN TESTS


# %%
def saddle_hessian(w: NDArray) -> NDArray:
    return np.diag([3 * w[0] ** 2 - 1, 1.0])


one_step = np.array(start) + newton_direction(valley_gradient(np.array(start)), H)
print("valley, after one Newton step:", one_step)
for first in (-1.4, 0.3, 0.65):
    result = minimize(saddle, [first, 1.5], "newton", grad=saddle_gradient, hess=saddle_hessian)
    print(f"saddle, start at {first:5}: ends at {result.x.round(3)} after {result.iterations} steps; {result.message}")

# %% [markdown]
# One step in the valley. On the second surface it depends on the start: from 0.3 Newton *goes to the saddle point*, uphill, because it solves
# for a zero gradient and does not ask which kind. "Newton finds the minimum in one step" is true for quadratics with a positive definite
# Hessian, and for little else.
#
# ### 5.2 L-BFGS
#
# A network with $D$ weights has a Hessian of $D^2$ numbers: for a million weights 8 terabytes. L-BFGS never forms it. It remembers the last
# few pairs of a step $s$ and the change $u$ of the gradient along it ($u \approx H s$), and gets from them the direction $-\tilde H^{-1}\nabla f$,
# where $\tilde H$ is what the pairs say about the Hessian, in two loops of inner products:
#
# 1. $q$ is a copy of the gradient. From the **newest** pair to the oldest: $a = s^\top q / s^\top u$, then $q \leftarrow q - a\,u$. Keep every $a$.
# 2. $q \leftarrow \gamma q$ with $\gamma = s^\top u / u^\top u$ of the newest pair (or the `scale` that was given).
# 3. From the **oldest** pair to the newest: $b = u^\top q / s^\top u$, then $q \leftarrow q + (a - b)\,s$, with that pair's own $a$.
#
# The direction is $-q$.

# %% task="lbfgs_direction" source="exercise_code.networks.second_order:lbfgs_direction"

# %% check="lbfgs_direction"
check("lbfgs_direction", lbfgs_direction)
### BEGIN HIDDEN TESTS
check("lbfgs_direction", lbfgs_direction, seed=320)
_s, _u = np.array([1.0, 2.0, 0.0]), np.array([2.0, 1.0, 0.0])
assert np.allclose(lbfgs_direction(_u, [(_s, _u)]), -_s)
assert np.allclose(
    lbfgs_direction(np.array([0.0, 0.0, 3.0]), [(_s, _u)], 5.0), [0.0, 0.0, -15.0]
)  # the pair says nothing here
### END HIDDEN TESTS

# %% [markdown]
# The package's `minimize` now runs on your two functions. It adds a line search, which shortens a step that goes too far. Your
# Adam races along.

# %%
problems = {
    "valley": (valley, valley_gradient, lambda w: H, [-9.0, 1.5]),
    "bent valley": (
        rosenbrock,
        rosenbrock_gradient,
        lambda w: np.array([[2 - 80 * (w[1] - 3 * w[0] ** 2), -80 * w[0]], [-80 * w[0], 40.0]]),
        [-1.5, 1.5],
    ),
}
figure, axes = plt.subplots(2, 2, figsize=(12, 7))
for row, (name, (f, gradient, hessian, first)) in zip(axes, problems.items(), strict=True):
    draw_surface(row[0], f, SURFACES[name][3])
    for method in ("gd", "newton", "bfgs", "lbfgs"):
        result = minimize(f, first, method, grad=gradient, hess=hessian if method == "newton" else None, tol=1e-8)
        row[0].plot(*result.path.T, "o-", markersize=3, linewidth=1, label=method)
        row[1].semilogy(np.maximum(f(result.path), 1e-20), "o-", markersize=3, linewidth=1, label=method)
        print(f"{name:12} {method:7} {result.iterations:4} steps, gradient {result.grad_norm:.0e}")
    path = walk(counting_adam(), gradient, first, 2000, 2, lr=0.1)
    row[1].semilogy(np.maximum(f(path[:201]), 1e-20), linewidth=1, label="your Adam")
    lengths = np.array([np.linalg.norm(gradient(w)) for w in path])
    rest = int(np.argmax(lengths < 1e-8))  # the first step that is small enough
    print(f"{name:12} Adam    {rest:4} steps, gradient {lengths[rest]:.0e}")
    row[0].set(title=name, xticks=[], yticks=[])
    row[1].set(title="loss", xlabel="step", xlim=(-2, 80))
    row[1].grid(alpha=0.3)
    row[1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
figure.tight_layout()
plt.show()

# %% [markdown]
# Newton, BFGS and L-BFGS reach a gradient of 1e-8 in a few to a few dozen steps; first-order methods need hundreds or thousands. "gd" is
# gradient descent with a line search, which zigzags just as well (in the bent valley it is not there after the 200 steps it is given).
#
# **Question: why not for networks?** (2 points). Give three reasons why networks are nevertheless trained with Adam or momentum, and not with
# Newton or L-BFGS: one about cost, one about mini-batches (what are $s$ and $u$ when every gradient comes from another batch?), one about the
# kind of points where the gradient is 0.

# %% [markdown] question="second_order_networks"
# Cost: D weights mean a Hessian with D^2 entries and D^3 operations to solve, impossible for millions; L-BFGS needs only some 2 p D numbers,
# but a line search with several evaluations of the whole loss per step. Mini-batches: u is the difference of two gradients, and when they come
# from different batches it holds mostly noise, not curvature; s^T u may even be negative. One would need both gradients on the same batch, or
# very large batches. Stationary points: a loss surface with many dimensions has far more saddles than minima, and Newton is attracted by them.
# Further good reasons: the quadratic fits only nearby; the training loss need not be minimised to 1e-8. One point for two reasons, two for three.

# %% [markdown]
# ## 6 The learning rate over time
#
# Large steps travel far, small ones come to rest. A **schedule** has both: it changes the learning rate during training. The curve that most of
# them are made of is half a cosine wave, flat at both ends:
#
# $$\mathrm{end} + (\mathrm{start} - \mathrm{end})\,\frac{1 + \cos(\pi \cdot \mathrm{share})}{2}, \qquad \mathrm{share} \text{ from 0 to 1}$$

# %% task="half_cosine" source="exercise_code.schedule_curves:half_cosine"

# %% check="half_cosine"
check("half_cosine", half_cosine)
### BEGIN HIDDEN TESTS
check("half_cosine", half_cosine, seed=321)
assert abs(half_cosine(0.8, 0.2, 2 / 3) - 0.35) < 1e-12
### END HIDDEN TESTS

# %% [markdown]
# **One cycle** goes up first: a small learning rate while the weights are still random, a large one in the middle (its noise keeps the walk out of
# narrow, sharp valleys), and a very small one at the end. Mind the two ends: steps count from 0, so the last of `num_steps` is
# `num_steps - 1`, and the rise takes the first `pct_start * num_steps` of them, so its last step, the top, is `pct_start * num_steps - 1`.
# The curve between two learning rates is an argument too, so that the same cycle can be made of half waves or of lines.

# %% task="one_cycle" source="exercise_code.schedule_curves:one_cycle"

# %% check="one_cycle"
check("one_cycle", one_cycle)
### BEGIN HIDDEN TESTS
check("one_cycle", one_cycle, seed=322)
_lrs = [
    one_cycle(s, 5, 8.0, lambda start, end, share: start + (end - start) * share**2, 0.6, 4.0, 2.0) for s in range(6)
]
assert np.allclose(_lrs, [2.0, 3.5, 8.0, 6.25, 1.0, 1.0])
### END HIDDEN TESTS

# %% [markdown]
# The package's schedules now run on your two functions. Five of them, over 100 steps:
#
# - **steps**: times `gamma` every `step_size` steps. (One more trap from a slide: "multiply by gamma when `epoch % step_size == 0`" is true
#   at epoch 0 as well, so the training would begin with the learning rate lowered already.)
# - **cosine**: half a wave, from the start down to 0.
# - **warm restarts**: the same half wave again and again, each twice as long as the one before. Before each jump the weights have come to
#   rest; exercise 05 collects them there.
# - **cyclic**: up and down in straight lines, for as long as one likes.
# - **one cycle**: up once, then down for good.

# %%
schedules = {
    "steps": StepDecay(0.1, step_size=30, gamma=0.3, per="step"),
    "cosine": Cosine(0.1, 100, per="step"),
    "warm restarts": WarmRestarts(0.1, first_cycle=15, factor=2, per="step"),
    "cyclic": Cyclic(0.01, 0.1, step_size=12),
    "one cycle": OneCycle(0.1, 100),
}
plot_schedules(schedules, 100)
plt.show()

# %% [markdown]
# ## 7 Finding the learning rate
#
# ### 7.1 Spot the bug: the test that tests one learning rate
#
# The learning-rate range test trains for a few dozen batches while it *raises* the learning rate from tiny to absurd, and watches the loss: first
# nothing happens, then it falls, then it explodes. The good rates lie where it falls most steeply. Here is the pseudo-code of a slide in Python;
# `train_step(lr)` takes one batch, does one step with that learning rate, and returns the batch's loss from before the step.


# %%
def range_test_as_found(
    train_step: Callable[[float], float], lr_min: float, lr_max: float, num_steps: int
) -> tuple[list[float], list[float]]:
    lr, lrs, losses = lr_min, [], []
    for _ in range(num_steps):
        losses.append(train_step(lr))
        lrs.append(lr)
    return lrs, losses


lrs, losses = range_test_as_found(lambda lr: 2.3, 1e-5, 1.0, 20)
print("learning rates tried:", sorted(set(lrs)))

# %% [markdown]
# Write it so that
#
# - the learning rate **grows by equal factors** from `lr_min` at the first step to `lr_max` at the last one (equal factors, because nobody knows
#   even the order of magnitude),
# - it **stops** as soon as a loss is not finite, or larger than 4 times the lowest loss so far; that loss and its learning rate are not recorded,
#   and no further step is taken.


# %% task="range_test"
def range_test(
    train_step: Callable[[float], float], lr_min: float, lr_max: float, num_steps: int
) -> tuple[list[float], list[float]]:
    """Return (lrs, losses), one entry for every training step whose loss had not blown up."""
    ### BEGIN SOLUTION 03_optimizers
    lrs: list[float] = []
    losses: list[float] = []
    for lr in np.geomspace(lr_min, lr_max, num_steps):
        loss = train_step(float(lr))
        if not math.isfinite(loss) or (losses and loss > 4 * min(losses)):
            break
        lrs.append(float(lr))
        losses.append(loss)
    return lrs, losses
    ### END SOLUTION


# %% check="range_test"
check("range_test", range_test)
### BEGIN HIDDEN TESTS
check("range_test", range_test, seed=323)
_left = [16.5, 4.0, 5.0]
_lrs, _losses = range_test(lambda lr: _left.pop(), 1.0, 9.0, 3)
assert np.allclose(_lrs, [1.0, 3.0]) and _losses == [5.0, 4.0]
### END HIDDEN TESTS

# %% [markdown]
# ### 7.2 Images
#
# Now a real network: two layers on CIFAR-10, 8,000 images, small enough to train in seconds. (The first run downloads 170 MB; without a
# network you get a *stand-in* of the same shape. The numbers below are for CIFAR-10; where the stand-in leads to something else, the text says so.)

# %%
source = fetch_or_stand_in("cifar10", stand_in_size=800 if FAST else None)
print("Data:", source.label)
split = {"train": 0.9, "val": 0.05, "test": 0.05}
mean, std = compute_image_mean_and_std(ImageFolderDataset(mode="train", root=source, split=split).pixels()[:8000])
prepare = ComposeTransform([RescaleTransform(), NormalizeTransform(mean / 255, std / 255), FlattenTransform()])
train_set = ImageFolderDataset(prepare, "train", 300 if FAST else 8000, split, root=source)
val_set = ImageFolderDataset(prepare, "val", 100 if FAST else 2000, split, root=source)
print(f"{len(train_set)} training images, {len(val_set)} for validation")


def fresh_net(seed: int = 0) -> ClassificationNet:
    hidden = 20 if FAST else 100
    return ClassificationNet(
        activation=Relu(), num_layer=2, hidden_size=hidden, std="he", rng=np.random.default_rng(seed)
    )


def batches(batch_size: int = 64) -> DataLoader:
    return DataLoader(train_set, batch_size=batch_size, shuffle=True, drop_last=True)


# %%
def training_steps(optimizer_class, batch_size: int = 64) -> Callable[[float], float]:
    """Return a function that trains a fresh network by one batch with the learning rate it is given, and returns the loss."""
    network, loss_func = fresh_net(), CrossEntropyFromLogits()
    optimizer = optimizer_class(network, loss_func)
    loader = batches(batch_size)
    endless = (batch for _ in range(1000) for batch in loader)

    def train_step(lr: float) -> float:
        batch = next(endless)
        scores = network.forward(batch["image"])
        optimizer.lr = lr
        optimizer.backward(scores, batch["label"])
        optimizer.step()
        return loss_func(scores, batch["label"])

    return train_step


with np.errstate(all="ignore"):  # the loss is meant to explode
    tested = {
        kind.__name__: range_test(training_steps(kind), 1e-6, 10, 20 if FAST else 120)
        for kind in tqdm([SGD, SGDMomentum, Adam], desc="range tests")
    }

figure, axis = plt.subplots(figsize=(9, 3.6))
for name, (lrs, losses) in tested.items():
    axis.semilogx(lrs, losses, linewidth=1, label=f"{name}: stopped above {lrs[-1]:.2g}")
axis.set(xlabel="learning rate", ylabel="loss of the batch", ylim=(1, 8), title="Your range test")
axis.grid(alpha=0.3)
axis.legend(frameon=False, loc="upper left")
plt.show()

# %% [markdown]
# Adam's useful rates lie some ten to a hundred times below those of SGD: its steps have the size lr, while SGD's are multiplied by the gradient.
# The loss of single batches is noisy; the package's version smooths it and marks where it falls most steeply. Take that as an order of magnitude.

# %%
found = lr_range_test(fresh_net(), batches(), SGDMomentum, lr_min=1e-5, lr_max=10, num_steps=20 if FAST else 120)
found.plot()
plt.show()
print("suggested learning rate:", found.suggestion and f"{found.suggestion:.1e}")

# %% [markdown]
# ## 8 Training with a schedule
#
# The same network for 5 epochs with momentum, three times: the learning rate held constant, cosine, one cycle. And all of that for three learning
# rates, one of them too large. About 20 seconds.


# %%
def train(optimizer_class, lr: float, batch_size: int = 64, epochs: int = 5, schedule=None, seed: int = 0) -> Solver:
    solver = Solver(
        fresh_net(seed),
        batches(batch_size),
        DataLoader(val_set, batch_size=500),
        learning_rate=lr,
        optimizer=optimizer_class,
        schedule=schedule,
        verbose=False,
    )
    with np.errstate(all="ignore"):  # some of the learning rates are too large on purpose
        solver.train(epochs=1 if FAST else epochs)
    return solver


def val_accuracy(solver: Solver) -> float:
    return solver.get_dataset_accuracy(solver.val_dataloader)


total_steps = len(batches()) * (1 if FAST else 5)


def schedules_to(top: float) -> dict:
    return {"constant": None, "cosine": Cosine(top, total_steps, per="step"), "one cycle": OneCycle(top, total_steps)}


runs = {
    (top, name): train(SGDMomentum, top, schedule=schedule)
    for top in tqdm([0.003, 0.01, 0.03], desc="learning rates")
    for name, schedule in schedules_to(top).items()
}

print(f"{'':12}" + "".join(f"{name:>12}" for name in ("constant", "cosine", "one cycle")))
for top in (0.003, 0.01, 0.03):
    print(
        f"lr {top:<9}"
        + "".join(f"{val_accuracy(runs[top, name]):12.1%}" for name in ("constant", "cosine", "one cycle"))
    )

# %%
figure, axes = plt.subplots(1, 3, figsize=(14, 3.6), sharey=True)
for axis, top in zip(axes, (0.003, 0.01, 0.03), strict=True):
    for name in ("constant", "cosine", "one cycle"):
        losses = np.array(runs[top, name].train_batch_loss)
        window = min(40, len(losses))
        axis.plot(np.convolve(losses, np.ones(window) / window, mode="valid"), label=name)
    axis.set(title=f"learning rate {top}", xlabel="step", ylim=(0.8, 3))
    axis.grid(alpha=0.3)
axes[0].set_ylabel("training loss, mean of 40 steps")
axes[0].legend(frameon=False)
figure.tight_layout()
plt.show()

# %% [markdown]
# Expect on CIFAR-10 about
#
# | learning rate | constant | cosine | one cycle |
# |---|---|---|---|
# | 0.003 | 42 % | 43 % | 44 % |
# | 0.01 | 40 % | 45 % | 45 % |
# | 0.03 | 27 % | 46 % | 45 % |
#
# With 2,000 validation images two points more or less are luck. What is not luck: a constant 0.03 ruins the training, and the *same* 0.03 becomes one
# of the best settings once it comes down at the end. (Much of its constant curve lies above the picture.) In the pictures the noisy loss of the large
# learning rate falls quickly as soon as the rate does. The range test's suggestion, about 0.006, lies in the middle of what works. (On the stand-in
# the accuracies are some 10 points higher, and the suggestion is too small, 0.0005: its loss falls so slowly that the steepest point is noise.)
#
# ### 8.1 All optimizers, once
#
# Every rule with three learning rates of its own, 3 epochs each, no schedule. About 30 seconds.

# %%
candidates = {
    SGD: (0.003, 0.01, 0.03),
    SGDMomentum: (0.001, 0.003, 0.01),
    Nesterov: (0.001, 0.003, 0.01),
    AdaGrad: (0.001, 0.003, 0.01),
    RMSProp: (1e-4, 3e-4, 1e-3),
    AdaDelta: (0.1, 0.3, 1.0),
    Adam: (1e-4, 3e-4, 1e-3),
}
print(f"{'':12} validation accuracy (learning rate)")
for kind, rates in tqdm(candidates.items(), desc="optimizers"):
    cells = [f"{val_accuracy(train(kind, lr, epochs=3)):7.1%} ({lr:g})" for lr in (rates[:1] if FAST else rates)]
    print(f"{kind.__name__:12}" + "".join(f"{cell:>18}" for cell in cells))

# %% [markdown]
# Expect about 39 to 42 % for the best of each row: the rules differ far less than the learning rates do, and the differences between the best cells are
# within luck. What differs is *where* the best one lies: near 0.03 for plain SGD, at 0.003 with momentum (that is the factor 1 - 0.9), at 0.0003 for Adam
# and RMSProp. So a comparison of optimizers at one common learning rate is a comparison of nothing. Adam is the usual first choice because
# its good rates are similar from network to network, and not because it wins here.
#
# ## 9 Batch size and learning rate
#
# A batch four times as large means a quarter of the steps per epoch, each with a less noisy gradient. Same data, same number of epochs: does the
# same learning rate still fit? Plain SGD, three batch sizes, seven learning rates, 3 epochs each. About 30 seconds.

# %%
sizes, rates = (16, 64, 256), np.geomspace(1e-3, 1, 7)
if FAST:
    sizes, rates = (16, 64), np.array([0.01, 0.1])
scores = np.array(
    [[train(SGD, lr, size, epochs=3).val_loss_history[-1] for lr in rates] for size in tqdm(sizes, desc="batch sizes")]
)
scores = np.where(np.isfinite(scores), scores, np.inf)

figure, axis = plt.subplots(figsize=(9, 3.6))
for size, row in zip(sizes, scores, strict=True):
    best = int(np.argmin(row))
    axis.semilogx(
        rates, np.minimum(row, 3.5), "o-", label=f"batch size {size}: best lr {rates[best]:.3g}, loss {row[best]:.2f}"
    )
axis.axhline(math.log(10), color="gray", linestyle=":", linewidth=1)
axis.annotate("guessing", (rates[-1], math.log(10) + 0.03), color="gray", fontsize=8, ha="right")
axis.set(xlabel="learning rate", ylabel="validation loss (cut at 3.5)", title="After the same number of epochs")
axis.grid(alpha=0.3)
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# Expect (CIFAR-10) a best learning rate of about 0.01, 0.03 and 0.1 for the batch sizes 16, 64 and 256, and almost the same loss, 1.73 or 1.74, at all
# three. The large batch is not worse, it wants another learning rate. The right end of all curves, where everything blows up, moves much less. (On the
# stand-in the best rates move in the same way, but the large batch stays behind, 1.84 against 1.48: its 93 steps are too few there.)
#
# **Question: batch size and learning rate** (2 points). Read off how the best learning rate moves when the batch gets four times as large, and
# explain it with the number of steps and the noise of the gradient. Why does the rule "four times the batch, four times the learning rate" fail
# for very large batches? (Section 1 has a hint.) A friend doubles the batch size, keeps the learning rate, and reports that large
# batches generalise worse: what has to be tried before one may say that?

# %% [markdown] question="batch_and_rate"
# The best learning rate grows with the batch, by a factor of about three to four for four times the images (the grid has steps of 3.2, so it cannot
# say more exactly). Four times the batch means a quarter of the steps; to get as far in an epoch each has to be about four times as long, and
# the mean over more samples has less noise (its standard deviation falls with the root of the batch size), so the longer step is affordable. The
# curvature does not change with the batch: above 2 over the largest curvature even the noise-free gradient diverges, so the growth ends there. The friend
# compared two settings of which only one had a fitting learning rate, and fewer steps besides: tune the learning rate for each batch size, or
# scale it with a warm-up, and compare at equal epochs and at equal steps. One point for the direction with its reason, one for limit and tuning.

# %% [markdown]
# ## 10 Hand it in
#
# **Save the notebook first.** There is no model this time: the next cell packs this notebook into `submission.zip` and tells how many
# tasks are still open. Hand in that one zip.

# %%
if not FAST:
    submit("03_optimizers")

# %% [markdown]
# ## How this is graded
#
# | task | points |
# |---|---|
# | `largest_learning_rate` | 1 |
# | `momentum_update`, `nesterov_update` (bug) | 1 + 2 |
# | `adagrad_update`, `rmsprop_update`, `adadelta_update` (bug) | 1 + 1 + 1 |
# | `adam_update` | 3 |
# | `newton_direction`, `lbfgs_direction` | 1 + 3 |
# | `half_cosine`, `one_cycle` | 1 + 2 |
# | `range_test` (bug) | 2 |
# | **together, by machine** | **19** |
# | three questions in words, read by a person | 2 + 2 + 2 |
#
# The grader runs your notebook on a small stand-in with the checks you see and a few more inputs of the same kind. Plots and measured
# numbers earn no points.
#
# ## Key points
#
# - The steepest direction bounds the learning rate (2 over its curvature), the flattest one decides how long it takes.
# - Momentum adds up what agrees and cancels what does not. Adaptive rules give every weight its own step. Adam does both; its bias correction
#   matters in the first thousand steps.
# - Newton and L-BFGS are unbeatable on small, smooth, noise-free problems, and lost without these three.
# - Find the learning rate with a range test, lower it to almost 0 at the end, and tune it again when batch size or optimizer change.
# - A formula on a slide is code that nobody ran. Try it on a problem whose answer you know.
#
# ## What comes next
#
# Exercise 04 searches for all hyper-parameters at once, and your best network goes to the leaderboard.
#
# ## Further reading
#
# - Kingma and Ba (2015), *Adam: a method for stochastic optimization*.
# - Sutskever et al. (2013), *On the importance of initialization and momentum in deep learning*: Nesterov's momentum in the form of section 2.1.
# - Nocedal and Wright (2006), *Numerical optimization*, chapters 3, 6 and 7: line search, BFGS, L-BFGS.
# - Smith and Topin (2018), *Super-convergence*: one cycle and its large learning rates.
# - Goyal et al. (2017), *Accurate, large minibatch SGD: training ImageNet in 1 hour*: learning rates for large batches, with warm-up.
# - Wilson et al. (2017), *The marginal value of adaptive gradient methods in machine learning*: the case against Adam.
