# %% [markdown]
# # Exercise 01: Activations, and gradients you can trust
#
# Everything a network learns, it learns through its *backward pass*: the gradient of the loss travels from the output back through
# every layer to the weights. A wrong sign or a missing factor on that way seldom crashes: the network just trains badly, and you
# search for better settings where there is a bug. So the course starts with the smallest parts, and with the one tool that
# tells whether they are right: the **gradient check**.
#
# You will
#
# 1. write the sigmoid, forward and backward, so that it survives an input of ±1000,
# 2. see why nobody builds the matrix that the derivative is on paper,
# 3. write a gradient check, and find out how checks themselves go wrong,
# 4. write ReLU, ELU and the affine layer, and check them with it,
# 5. measure saturated and dead units, and train a first small network from your own parts.
#
# Set aside two to three hours. The computer itself works for about ten seconds in total; nothing has to be downloaded. No GPU needed.
#
# **How a task works.** Replace the line that raises `NotImplementedError`. The cell below checks your code: *right*, *wrong*
# (with what was expected, what came, and where to look) or *not attempted*. Stuck? Run `hint("sigmoid")` in any cell, then
# `hint("sigmoid", 2)` and `hint("sigmoid", 3)`: every hint says more than the one before. **Spot the bug** tasks show code that
# looks right and is not; each is modelled on a mistake that was found in real course material. **Questions** are answered in
# words, in the cell below them, and read by a person. Later cells use your answers: one that stops with a `NotImplementedError`
# or a `NameError` waits for something above it, a task that is still open or a cell that was not run.

# %% [markdown]
# ## 0 Set-up
#
# **Only on Colab:** upload the course's `01_sigmoid.zip` with the folder symbol on the left, and run the next cell. It unpacks
# the zip and installs what Colab lacks. In JupyterLab and VS Code skip it; it does nothing there.

# %%
import os
import subprocess
import sys
import zipfile

if "google.colab" in sys.modules and os.path.isfile("01_sigmoid.zip"):
    with zipfile.ZipFile("01_sigmoid.zip") as bundle:
        bundle.extractall()
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "onnx", "onnxruntime", "pooch"], check=True)
    os.chdir("exercises/01_sigmoid")

# %%
import os
import sys
import time
import warnings
from collections.abc import Callable

folder = os.getcwd()  # find the course package from wherever the notebook was opened
while not os.path.isdir(os.path.join(folder, "exercise_code")) and folder != os.path.dirname(folder):
    folder = os.path.dirname(folder)
if os.path.isdir(os.path.join(folder, "exercise_code")) and folder not in sys.path:
    sys.path.insert(0, folder)

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from exercise_code.checks import check, hint
from exercise_code.networks.jacobian import jacobian
from exercise_code.networks.layer import Maxout
from exercise_code.submit import submit

# The grader and our tests run this notebook with fewer repetitions; you will not need this switch.
FAST = os.environ.get("EXERCISE_FAST") == "1"

# %% [markdown]
# ## 1 Why bend at all?
#
# A layer without activation is `x @ W + b`. Put two of them in a row: is the result something that one could not do?

# %%
rng = np.random.default_rng(0)
x, W1, b1 = rng.standard_normal((5, 3)), rng.standard_normal((3, 8)), rng.standard_normal(8)
W2, b2 = rng.standard_normal((8, 2)), rng.standard_normal(2)

two_layers = (x @ W1 + b1) @ W2 + b2
one_layer = x @ (W1 @ W2) + (b1 @ W2 + b2)
print("largest difference:", np.abs(two_layers - one_layer).max())

# %% [markdown]
# Only rounding. A hundred affine layers are one affine layer, and all it can draw between two classes is a straight line.
# What changes that is a bend after every layer: the **activation**.
#
# ## 2 The sigmoid
#
# $$\sigma(x) = \frac{1}{1 + e^{-x}}, \qquad \sigma'(x) = \sigma(x)\,\bigl(1 - \sigma(x)\bigr)$$
#
# It squeezes any number into (0, 1), so its output can be read as a probability. The formula as it is printed works, until the
# numbers get large. Two ways to write the same function, on five inputs:


# %%
def as_printed(x: NDArray) -> NDArray:
    return 1 / (1 + np.exp(-x))


def multiplied_by_exp(x: NDArray) -> NDArray:
    return np.exp(x) / (1 + np.exp(x))


for function in (as_printed, multiplied_by_exp):
    for dtype in (np.float32, np.float64):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            values = function(np.array([-1000, -100, 0, 100, 1000], dtype=dtype))
        print(f"{function.__name__:18} {np.dtype(dtype)}: {np.array2string(values, precision=3)}")
        messages = sorted({str(one.message).replace(" encountered", "") for one in caught})
        print(f"{'':27} warnings: {', '.join(messages) or 'none'}")

# %% [markdown]
# The largest float32 is about 3e38, and that is $e^{88.7}$; float64 ends at $e^{709.8}$. Beyond that `np.exp` gives `inf`. The first
# form is then right by luck ($1 / \infty = 0$); the second is not ($\infty / \infty$ is `nan`, and one `nan` is enough to ruin all
# weights in the next step). A test that tries only 0 and +100 finds neither.
#
# Write the layer so that **no step on the way overflows**, whatever comes in. An activation is an object without memory:
# `forward(x)` returns `(out, cache)`, and `backward(dout, cache)` returns the gradient of the loss with respect to `x`, given
# `dout`, the gradient with respect to `out`. Both work entry by entry, on arrays of any shape, and keep the dtype (float32 in,
# float32 out). Arrays that came in stay as they were.

# %% task="sigmoid" source="exercise_code.networks.layer:Sigmoid"

# %% check="sigmoid"
check("sigmoid", Sigmoid)
### BEGIN HIDDEN TESTS
check("sigmoid", Sigmoid, seed=112)
_x = np.array([[-np.log(3.0), 0.0, np.log(3.0)]])  # the sigmoid is 1/4, 1/2, 3/4
_out, _cache = Sigmoid().forward(_x)
assert np.allclose(_out, [[0.25, 0.5, 0.75]])
assert np.allclose(Sigmoid().backward(np.array([[16.0, 4.0, -16.0]]), _cache), [[3.0, 1.0, -3.0]])
### END HIDDEN TESTS

# %%
xs = np.linspace(-8, 8, 201)
out, cache = Sigmoid().forward(xs)
figure, axis = plt.subplots(figsize=(7, 3))
axis.plot(xs, out, label="value")
axis.plot(xs, Sigmoid().backward(np.ones_like(xs), cache), "--", label="derivative")
axis.axhline(0.25, color="gray", linewidth=0.8, linestyle=":")
axis.annotate("never more than 1/4", (3.6, 0.27), color="gray")
axis.set(xlabel="x", title="Sigmoid: flat on both sides, and a small slope even in the middle")
axis.grid(alpha=0.3)
axis.legend(frameon=False, loc="upper left")
plt.show()

# %% [markdown]
# **Question: the silenced warning** (1 point). A friend keeps the printed formula and wraps it in
# `with np.errstate(over="ignore"):`. All values come out right and no warning appears. Would you accept that? Then think one step
# ahead: the loss takes `np.log` of the result. What does it give for x = -1000 (with your sigmoid, and with your friend's), what
# is the true value of log σ(-1000), and what has to change so that the loss comes out right?

# %% [markdown] question="hidden_warning"
# The values are right, so the layer by itself can be accepted, but the switch also hides overflows that are not harmless,
# for example the nan of the second form; a formula that does not overflow needs no switch. Both sigmoids give exactly 0 for
# -1000, because the true value exp(-1000) is too small for any float, so the logarithm is -inf in both cases. The true value
# is -1000 (minus log(1 + exp(-1000)), which is nothing). A better sigmoid cannot repair this: the loss has to work on x itself,
# log sigma(x) = min(x, 0) - log1p(exp(-|x|)). Half a point for -inf against -1000, half for taking the logarithm of the formula
# instead of the formula's result.

# %% [markdown]
# ## 3 On paper a matrix, in code a product
#
# Mathematically the sigmoid of a vector is a function from $\mathbb{R}^N$ to $\mathbb{R}^N$, so its derivative is the Jacobian
# $J$ with $N \times N$ entries, $J_{ij} = \partial\,\mathrm{out}_i / \partial x_j$, and backward is the product $J^\top \mathrm{dout}$.
# `jacobian` from the package builds that matrix from your layer. Beside it stands a layer that is *not* element-wise: Maxout, whose
# outputs share their inputs.

# %%
rng = np.random.default_rng(1)
x, dout = rng.standard_normal(6), rng.standard_normal(6)
J = jacobian(Sigmoid(), x)
maxout = Maxout(rng.standard_normal((2, 6, 4)), rng.standard_normal((2, 4)))

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4))
for axis, matrix, title in [
    (axes[0], J, "Sigmoid of 6 numbers: diagonal"),
    (axes[1], jacobian(maxout, x.reshape(1, 6)), "Maxout from 6 numbers to 4: full"),
]:
    limit = np.abs(matrix).max()
    picture = axis.imshow(matrix, cmap="RdBu", vmin=-limit, vmax=limit)
    axis.set(title=title, xlabel="input j", ylabel="output i")
    figure.colorbar(picture, ax=axis, shrink=0.9)
figure.tight_layout()
plt.show()

by_matrix = J.T @ dout
by_layer = Sigmoid().backward(dout, Sigmoid().forward(x)[1])
print("J.T @ dout equals backward:", np.allclose(by_matrix, by_layer))

# %% [markdown]
# All off the diagonal is 0, because out number i depends on x number i alone. Multiplying by a diagonal matrix is multiplying
# entry by entry, so your `backward` does exactly what the paper says, and leaves out the zeros. What do they cost?


# %%
def microseconds(product: Callable, *arguments) -> float:
    start = time.perf_counter()
    for _ in range(20):
        product(*arguments)
    return 1e6 * (time.perf_counter() - start) / 20


print(f"{'N':>6} {'matrix':>12} {'vector':>10} {'J.T @ dout':>13} {'entry by entry':>16}")
for size in (10, 100, 1000):
    x, dout = rng.standard_normal(size), rng.standard_normal(size)
    J, cache = jacobian(Sigmoid(), x), Sigmoid().forward(x)[1]
    full, direct = microseconds(np.matmul, J.T, dout), microseconds(Sigmoid().backward, dout, cache)
    print(f"{size:6} {J.nbytes:10,} B {x.nbytes:8,} B {full:10.1f} µs {direct:13.1f} µs")

# %% [markdown]
# (The times leave out how long it took to *build* the matrix, which is longer still.)
#
# **Question: the size of the matrix** (1 point). A hidden layer of 1,000 units gets a batch of 128 samples in float32. How many
# entries has its output, how many the full Jacobian of the sigmoid, and how much memory would that take? Why is the entry-by-entry
# product enough here? And why is it not enough for an affine layer `x @ W + b`, and what does one use there instead of a Jacobian?

# %% [markdown] question="jacobian_size"
# The output has 128 * 1000 = 128,000 entries, the Jacobian 128,000 squared = 1.64e10, at 4 bytes each 65.5 GB. Each output of
# the sigmoid depends on one input only, so all other entries are 0, and multiplying by a diagonal matrix is a product entry by
# entry. In an affine layer every output of a sample depends on every input of that sample, so the Jacobian has full blocks (still
# zero between samples). Nobody builds it there either: the product with its transpose is the matrix product of dout with the
# transposed W. Half a point for the numbers, half for the reason.

# %% [markdown]
# ## 4 Is my gradient right? Ask the function
#
# A derivative says how much the output moves when the input moves a little. So move the input a little, and look:
#
# $$\frac{\partial f}{\partial x_i} \approx \frac{f(x + h\,e_i) - f(x - h\,e_i)}{2h}$$
#
# It takes two calls of $f$ for each entry, far too slow for training, and it knows nothing of your formula: that is what makes it
# a good judge.

# %% task="numeric_gradient" source="exercise_code.numeric_gradient:numeric_gradient"

# %% check="numeric_gradient"
check("numeric_gradient", numeric_gradient)
### BEGIN HIDDEN TESTS
check("numeric_gradient", numeric_gradient, seed=113)
_x = np.array([[1.0, 2.0], [3.0, 4.0]])
assert np.allclose(numeric_gradient(lambda v: float(np.prod(v)), _x), [[24.0, 12.0], [8.0, 6.0]])
### END HIDDEN TESTS

# %% [markdown]
# ### 4.1 How far apart are two gradients?
#
# Gradients may be 1e-6 or 1e+3, so an absolute difference says little. Compare each entry with its own size, and report the worst:
#
# $$\max_i \frac{|a_i - b_i|}{\max(|a_i|, |b_i|, 10^{-8})}$$

# %% task="relative_error" source="exercise_code.numeric_gradient:relative_error"

# %% check="relative_error"
check("relative_error", relative_error)
### BEGIN HIDDEN TESTS
check("relative_error", relative_error, seed=114)
assert abs(relative_error(np.array([8.0, -3.0]), np.array([10.0, -3.0])) - 0.2) < 1e-12
### END HIDDEN TESTS

# %% [markdown]
# ### 4.2 The gradient check
#
# A layer returns an array, but `numeric_gradient` wants a function with *one* number as its result. The trick is to weigh the
# outputs with random numbers and add them up: $f(x) = \sum \mathrm{out} \cdot \mathrm{dout}$. The gradient of that sum with respect
# to `out` is `dout`, so the gradient with respect to `x` is exactly what `backward(dout, cache)` claims to return.


# %%
def gradient_error(layer, x: NDArray, h: float = 1e-5, seed: int = 0) -> float:
    """Return the relative error between a layer's backward and the numeric gradient of sum(out * dout), dout random."""
    out, cache = layer.forward(x)
    dout = np.random.default_rng(seed).standard_normal(out.shape).astype(x.dtype)
    numeric = numeric_gradient(lambda moved: np.sum(layer.forward(moved)[0] * dout), x, h)
    return relative_error(layer.backward(dout, cache), numeric)


class ForgetfulSigmoid(Sigmoid):
    """Somebody forgot a factor."""

    def backward(self, dout: NDArray, cache: NDArray) -> NDArray:
        return super().backward(dout, cache) * 1.01


x = np.random.default_rng(2).uniform(-3, 3, (4, 5))
print(f"your Sigmoid:      {gradient_error(Sigmoid(), x):.1e}")
print(f"one per cent off:  {gradient_error(ForgetfulSigmoid(), x):.1e}")

# %% [markdown]
# Expect 1e-8 or less for a right gradient in float64, and something above 1e-3 for a wrong one. There is a wide gap between the two,
# and that is what makes the check worth having.
#
# ### 4.3 How small a step?
#
# Smaller is better, says the formula. Try it: the error of your numeric gradient against the exact one for steps from 0.3 down to
# 1e-15, for central and one-sided differences, in float64 and float32.


# %%
def one_sided(f: Callable[[NDArray], float], x: NDArray, h: float) -> NDArray:
    return np.array([(f(x + h * unit) - f(x)) / h for unit in np.eye(x.size, dtype=x.dtype)])


points = np.random.default_rng(3).uniform(-2, 2, 20)
exact = Sigmoid().backward(np.ones(20), Sigmoid().forward(points)[1])
steps = 10.0 ** np.arange(-0.5, -15.01, -0.25)


def typical_error(method, dtype) -> list[float]:
    """Return the median relative error over the 20 points, each differentiated by itself, for every step."""
    errors = []
    for h in steps:
        numeric = [
            method(lambda v: Sigmoid().forward(v)[0][0], points[i : i + 1].astype(dtype), h)[0] for i in range(20)
        ]
        errors.append(np.median(np.abs(numeric - exact) / exact))
    return errors


curves = {
    "central, float64": (typical_error(numeric_gradient, np.float64), "C0-"),
    "one-sided, float64": (typical_error(one_sided, np.float64), "C1--"),
    "central, float32": (typical_error(numeric_gradient, np.float32), "C2-."),
}
figure, axis = plt.subplots(figsize=(10, 4))
for name, (errors, style) in curves.items():
    best = int(np.argmin(errors))
    axis.loglog(steps, np.maximum(errors, 1e-13), style, label=f"{name}: best near h = {steps[best]:.0e}")
    axis.plot(steps[best], max(errors[best], 1e-13), "o", color=style[:2])
axis.set(xlabel="step h", ylabel="relative error", title="Too large a step is wrong, too small a step is noise")
axis.grid(alpha=0.3)
axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
figure.tight_layout()
plt.show()

# %% [markdown]
# **Question: the step** (1 point). Each curve falls, turns and rises. What makes it fall as h gets smaller, and why more steeply for
# the central difference? What makes it rise? Why does float32 turn at a larger step, and what happens to it below 1e-7? Which h
# would you use for a check in float32, and what error would you then still accept?

# %% [markdown] question="step_size"
# From the right the curve falls because the neglected terms of the Taylor series shrink: with h for the one-sided difference, with h
# squared for the central one, where the even terms cancel. It rises because two nearly equal numbers are subtracted: their rounding
# error, about eps times the value, is divided by h. The best step is where the two meet, about eps^(1/3) for central and eps^(1/2)
# for one-sided differences: 6e-6 and 1.5e-8 in float64, 5e-3 (central) in float32. Below about 6e-8 adding h does not change a
# float32 near 1 at all, the difference is 0 and the error 100 %. In float32 use h of about 1e-2 to 1e-3 and accept about 1e-3; better
# check in float64. Half a point for the two causes, half for float32.

# %% [markdown]
# ### 4.4 Spot the bug: a check that nods
#
# This gradient check has two weaknesses, and both are taken from checks that real courses used. It says *fine* to every right layer.
# Unfortunately it also says *fine* to some wrong ones.


# %%
def careless_check(layer, x: NDArray, h: float = 1e-5) -> str:
    out, cache = layer.forward(x)
    dx = layer.backward(np.ones_like(out), cache)
    numeric = numeric_gradient(lambda moved: np.sum(layer.forward(moved)[0]), x, h)
    return "fine" if abs(np.sum(dx - numeric)) < 1e-6 else "wrong"


x = np.random.default_rng(4).uniform(-1, 1, (3, 4))
print("your Sigmoid:     ", careless_check(Sigmoid(), x))
print("one per cent off: ", careless_check(ForgetfulSigmoid(), x))

# %% [markdown]
# Prove it: write a layer whose `backward` is **wrong** and which passes. To keep other things simple it computes the sine, whose
# derivative is the cosine. One weakness is enough.


# %% task="impostor"
class Impostor:
    """The sine with a wrong backward that `careless_check` calls fine."""

    def forward(self, x: NDArray) -> tuple[NDArray, NDArray]:
        return np.sin(x), x

    def backward(self, dout: NDArray, cache: NDArray) -> NDArray:
        ### BEGIN SOLUTION 01_sigmoid
        return np.cos(cache)  # dout is missing, and a dout of ones does not show it
        ### END SOLUTION


# %% check="impostor"
check("impostor", Impostor)
### BEGIN HIDDEN TESTS
check("impostor", Impostor, seed=115)
### END HIDDEN TESTS

# %%
print("careless check: ", careless_check(Impostor(), x))
print(f"gradient check:  relative error {gradient_error(Impostor(), x):.1e}")

# %% [markdown]
# Remember both cures: a **random** `dout` instead of ones, and the **largest** error instead of a sum in which errors cancel.
# (A `dout` of ones is worst for batch normalisation, exercise 08: its outputs always add up to the same number, so the true
# gradient is 0 and there is nothing to compare.)
#
# ## 5 ReLU and ELU
#
# $$\mathrm{relu}(x) = \max(0, x), \qquad \mathrm{elu}(x) = \begin{cases} x & x > 0 \\ \alpha\,(e^{x} - 1) & \text{otherwise} \end{cases}$$
#
# ReLU has slope 1 wherever it lets something through, so a gradient passes many layers without shrinking. At exactly 0 it has a
# kink; take 0 as its slope there.

# %% task="relu" source="exercise_code.networks.layer:Relu"

# %% check="relu"
check("relu", Relu)
### BEGIN HIDDEN TESTS
check("relu", Relu, seed=116)
_out, _cache = Relu().forward(np.array([[-3.0, 0.5], [2.0, -0.1]]))
assert np.array_equal(_out, [[0.0, 0.5], [2.0, 0.0]])
assert np.array_equal(Relu().backward(np.array([[5.0, -6.0], [7.0, 8.0]]), _cache), [[0.0, -6.0], [7.0, 0.0]])
### END HIDDEN TESTS

# %% [markdown]
# ### 5.1 Spot the bug: a right layer that fails, sometimes
#
# Below, a right ReLU is checked again and again with fresh random inputs. Every now and then it fails. (One course graded with such a
# check: about one run in five hundred told a student with right code that it was wrong.)

# %%
runs = 200 if FAST else 1000
errors = [
    gradient_error(Relu(), np.random.default_rng(seed).standard_normal(20), h=1e-3, seed=seed)
    for seed in tqdm(range(runs), desc="gradient checks of ReLU")
]
failed = np.flatnonzero(np.array(errors) > 1e-3)
print(f"{len(failed)} of {runs} failed; the first of them:")
for seed in failed[:3]:
    nearest = np.abs(np.random.default_rng(seed).standard_normal(20)).min()
    print(f"  seed {seed:3}: error {errors[seed]:.2f}, and its input nearest to 0 was {nearest:.5f}")

# %% [markdown]
# One side of the step was on the flat part, the other on the slope, and their difference quotient is neither 0 nor 1. The layer is
# right and the question was wrong: at a kink there is no derivative to compare with.
#
# Repair the *inputs*: draw random numbers of both signs, of which **none is nearer to 0 than 0.01**. All randomness comes from `rng`, so
# that equal seeds give equal inputs.


# %% task="inputs_away_from_zero"
def inputs_away_from_zero(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray:
    """Return random floats of this shape, about half of them negative, all with an absolute value from 0.01 to 100."""
    ### BEGIN SOLUTION 01_sigmoid
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.05, 3.0, shape)
    ### END SOLUTION


# %% check="inputs_away_from_zero"
check("inputs_away_from_zero", inputs_away_from_zero)
### BEGIN HIDDEN TESTS
check("inputs_away_from_zero", inputs_away_from_zero, seed=117)
assert np.abs(inputs_away_from_zero((3000, 100), np.random.default_rng(11))).min() >= 0.01
### END HIDDEN TESTS

# %%
errors = [
    gradient_error(Relu(), inputs_away_from_zero((20,), np.random.default_rng(seed)), h=1e-3, seed=seed)
    for seed in tqdm(range(runs), desc="again, away from 0")
]
print(f"{np.sum(np.array(errors) > 1e-3)} of {runs} failed; largest error {max(errors):.1e}")

# %% [markdown]
# ### 5.2 ELU
#
# ELU does not go silent below zero: it bends smoothly towards $-\alpha$. Mind the overflow again. `np.where(condition, a, b)` chooses
# entry by entry, but NumPy first computes **all** of `a` and **all** of `b`, also the entries that are then thrown away.

# %% task="elu" source="exercise_code.networks.layer:Elu"

# %% check="elu"
check("elu", Elu)
### BEGIN HIDDEN TESTS
check("elu", Elu, seed=118)
_out, _cache = Elu(alpha=4.0).forward(np.array([[-np.log(2.0), 3.0]]))
assert np.allclose(_out, [[-2.0, 3.0]])
assert np.allclose(Elu(alpha=4.0).backward(np.array([[5.0, 5.0]]), _cache), [[10.0, 5.0]])
### END HIDDEN TESTS

# %%
x = inputs_away_from_zero((4, 5), np.random.default_rng(5))
for name, layer in {"ReLU": Relu(), "ELU": Elu(), "ELU, alpha 2": Elu(alpha=2.0)}.items():
    print(f"{name:13} relative error {gradient_error(layer, x):.1e}")

# %% [markdown]
# ### 5.3 Spot the bug: the shortcut
#
# Deep networks often add a layer's input to its output, $y = \mathrm{relu}(x) + x$. Two paths lead from $y$ back to $x$, and their
# gradients add up. The backward pass below looks like that, and gives a wrong result.


# %%
def shortcut_as_found(dout: NDArray, mask: NDArray) -> NDArray:
    dx = dout
    dx[~mask] = 0  # back through the ReLU: only where x was positive
    return dx + dout  # plus what comes back through the shortcut


print("expected [1. 2. 1.], got", shortcut_as_found(np.ones(3), np.array([False, True, False])))

# %% [markdown]
# Write it right. `mask` is True where x was positive; the caller still needs `dout`.


# %% task="shortcut"
def shortcut_backward(dout: NDArray, mask: NDArray) -> NDArray:
    """Return the gradient of relu(x) + x with respect to x; dout and mask (bool) have x's shape and stay as they were."""
    ### BEGIN SOLUTION 01_sigmoid
    through_relu = dout * mask
    return through_relu + dout
    ### END SOLUTION


# %% check="shortcut"
check("shortcut", shortcut_backward)
### BEGIN HIDDEN TESTS
check("shortcut", shortcut_backward, seed=119)
_dout = np.array([[7.0], [-2.0]])
assert np.array_equal(shortcut_backward(_dout, np.array([[True], [False]])), [[14.0], [-2.0]])
assert np.array_equal(_dout, [[7.0], [-2.0]])
### END HIDDEN TESTS

# %% [markdown]
# A gradient check of the ReLU alone would never have seen it: the layer's own result was right. That is why all checks of this
# course also look at whether your code changed an array that is not its own.
#
# ## 6 The gallery
#
# All activations of the course with their derivatives. The dashed lines need no formula: they come from your `numeric_gradient`. The
# dots are your `backward`. Tanh and leaky ReLU become layers in exercise 04; Maxout takes the largest of several straight lines,
# here three, and *learns* where they lie.

# %%
three_lines = Maxout(np.array([[[-0.5]], [[0.3]], [[1.0]]]), np.array([[-1.0], [0.2], [-1.0]]))
gallery = {
    "Sigmoid": (lambda x: Sigmoid().forward(x)[0], Sigmoid()),
    "Tanh": (np.tanh, None),
    "ReLU": (lambda x: Relu().forward(x)[0], Relu()),
    "Leaky ReLU, slope 0.1": (lambda x: np.maximum(0.1 * x, x), None),
    "ELU, alpha 1": (lambda x: Elu().forward(x)[0], Elu()),
    "Maxout of three lines": (lambda x: three_lines.forward(x.reshape(-1, 1))[0].ravel(), None),
}


def slope(function: Callable, x: NDArray) -> NDArray:
    return numeric_gradient(lambda moved: np.sum(function(moved)), x)


xs = np.linspace(-4, 4, 161)
figure, axes = plt.subplots(2, 3, figsize=(12, 6), sharex=True)
for axis, (name, (function, layer)) in zip(axes.flat, gallery.items(), strict=True):
    axis.plot(xs, function(xs), label="value")
    axis.plot(xs, slope(function, xs), "--", label="derivative (numeric)")
    if layer is not None:
        _, cache = layer.forward(xs[::10])
        axis.plot(xs[::10], layer.backward(np.ones(17), cache), "C1o", markersize=4, label="your backward")
    axis.set_title(name)
    axis.set_ylim(-1.3, 2.2)
    axis.grid(alpha=0.3)
axes[0, 0].legend(frameon=False, loc="upper left", fontsize=8)
figure.tight_layout()
plt.show()

# %% [markdown]
# | activation | values | largest slope | slope (almost) 0 for | remember |
# |---|---|---|---|---|
# | sigmoid | (0, 1) | 1/4 | large \|x\| | a probability at the output; rarely inside |
# | tanh | (-1, 1) | 1 | large \|x\| | a sigmoid around 0, four times as steep |
# | ReLU | [0, ∞) | 1 | all x < 0 | the default; units can die |
# | leaky ReLU | (-∞, ∞) | 1 | nowhere | nothing dies |
# | ELU | (-α, ∞) | 1 (or α) | very negative x | smooth, mean output near 0 |
# | Maxout | (-∞, ∞) | learned | where two lines cross, a kink | twice the weights or more |
#
# ## 7 The affine layer
#
# Between two activations stands `out = x @ w + b`, for x of shape (N, D), w (D, M) and b (M,). Samples with more than one axis
# (images) are flattened first. Backward now returns three gradients. You can derive each of them from its shape alone.

# %% task="affine_forward" source="exercise_code.networks.layer:affine_forward"

# %% check="affine_forward"
check("affine_forward", affine_forward)
### BEGIN HIDDEN TESTS
check("affine_forward", affine_forward, seed=120)
_x, _w, _b = (
    np.array([[1.0, 2.0], [3.0, 4.0]]),
    np.array([[1.0, 0.0, -1.0], [0.0, 1.0, 1.0]]),
    np.array([10.0, 20.0, 30.0]),
)
assert np.array_equal(affine_forward(_x, _w, _b)[0], [[11.0, 22.0, 31.0], [13.0, 24.0, 31.0]])
### END HIDDEN TESTS

# %% task="affine_backward" source="exercise_code.networks.layer:affine_backward"

# %% check="affine_backward"
check("affine_backward", affine_backward)
### BEGIN HIDDEN TESTS
check("affine_backward", affine_backward, seed=121)
_x, _w = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 0.0, -1.0], [0.0, 1.0, 1.0]])
_dx, _dw, _db = affine_backward(np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 0.0]]), (_x, _w, np.zeros(3)))
assert np.array_equal(_dx, [[0.0, 2.0], [0.0, 2.0]]) and np.array_equal(_db, [1.0, 3.0, 1.0])
assert np.array_equal(_dw, [[1.0, 7.0, 1.0], [2.0, 10.0, 2.0]])
### END HIDDEN TESTS

# %% [markdown]
# Your gradient check takes it too: one input at a time, the other two held fixed.

# %%
rng = np.random.default_rng(6)
arrays = {"x": rng.standard_normal((4, 3)), "w": rng.standard_normal((3, 2)), "b": rng.standard_normal(2)}
out, cache = affine_forward(**arrays)
dout = rng.standard_normal(out.shape)
for name, gradient in zip(arrays, affine_backward(dout, cache), strict=True):

    def weighted_sum(moved: NDArray, name: str = name) -> float:
        return float(np.sum(affine_forward(**{**arrays, name: moved})[0] * dout))

    print(f"d{name}: relative error {relative_error(gradient, numeric_gradient(weighted_sum, arrays[name])):.1e}")

# %% [markdown]
# ## 8 Saturated and dead
#
# A unit is **saturated** when its input lies where the activation is flat: the gradient is multiplied by almost 0 there. Send a batch
# through ten layers of 100 units, send a random gradient back, and look at how much of it arrives at each layer.


# %%
def ten_layers(layer, scale: float, seed: int = 0) -> tuple[list[NDArray], list[float]]:
    """Return the outputs of ten layers (weights: standard deviation scale) and the gradient's size at their inputs."""
    rng = np.random.default_rng(seed)
    out, caches, outputs, sizes = rng.standard_normal((200, 100)), [], [], []
    for _ in range(10):
        out, affine_cache = affine_forward(out, scale * rng.standard_normal((100, 100)), np.zeros(100))
        out, cache = layer.forward(out)
        caches.append((affine_cache, cache))
        outputs.append(out)
    gradient = rng.standard_normal(out.shape)
    for affine_cache, cache in reversed(caches):
        gradient, _, _ = affine_backward(layer.backward(gradient, cache), affine_cache)
        sizes.append(float(gradient.std()))
    return outputs, sizes[::-1]


# %%
settings = {
    "Sigmoid, std 0.1": (Sigmoid(), 0.1),
    "Sigmoid, std 1": (Sigmoid(), 1.0),
    "ReLU, std 0.02": (Relu(), 0.02),
    "ReLU, std √(2/100)": (Relu(), np.sqrt(2 / 100)),
    "ELU, std 0.12": (Elu(), 0.12),
}
results = {name: ten_layers(*setting) for name, setting in settings.items()}

figure, axes = plt.subplots(1, 2, figsize=(12, 3.8), width_ratios=[3, 2])
for name, (_, sizes) in results.items():
    axes[0].semilogy(range(1, 11), sizes, "o-", markersize=4, label=name)
axes[0].set(xlabel="layer (10 = the last)", ylabel="size of the gradient", title="What is left of the gradient")
axes[0].legend(frameon=False, fontsize=8)
for name in ("Sigmoid, std 0.1", "Sigmoid, std 1"):
    axes[1].hist(results[name][0][4].ravel(), bins=50, range=(0, 1), alpha=0.6, label=name)
axes[1].set(xlabel="output of a unit in layer 5", yticks=[], title="Large weights saturate the sigmoid")
axes[1].legend(frameon=False, fontsize=8)
for axis in axes:
    axis.grid(alpha=0.3)
figure.tight_layout()
plt.show()

for name in ("Sigmoid, std 0.1", "Sigmoid, std 1"):
    s = results[name][0][4]
    print(f"{name}: {np.mean(s * (1 - s) < 0.01):.0%} of the slopes in layer 5 are below 0.01")
for name, (_, sizes) in results.items():
    print(f"{name:19} from layer 10 to layer 1 the gradient changes by a factor of {sizes[0] / sizes[-1]:.1e}")

# %% [markdown]
# Expect: the sigmoid with small weights loses a factor of about 4 per layer, and arrives at the first one about 500,000 times smaller. With weights ten times as
# large half of its slopes are almost 0, and the gradient keeps its size only because those large weights multiply what is left; half of
# the units learn next to nothing. ReLU with too small weights loses the gradient as well, by the weights alone. With standard deviation
# √(2 / inputs) (He initialisation, exercise 04) what comes in at the end arrives at the beginning, and no unit has to be saturated for
# it. That, more than anything else, is why ReLU replaced the sigmoid inside networks.
#
# ### 8.1 Dead units
#
# ReLU has a failure of its own. A unit that is 0 for **every** sample gets no gradient from any of them, so its weights never move
# again: it is dead. Find the dead ones.

# %% task="dead_units" source="exercise_code.diagnostics:dead_units"

# %% check="dead_units"
check("dead_units", dead_units)
### BEGIN HIDDEN TESTS
check("dead_units", dead_units, seed=122)
assert np.array_equal(dead_units(np.array([[0.0, 0.0, 1e-9], [0.0, 3.0, 0.0]])), [True, False, False])
### END HIDDEN TESTS

# %% [markdown]
# How many of 500 units are dead on 200 samples when all biases are shifted down? One step with too large a learning rate can do that.

# %%
rng = np.random.default_rng(7)
samples, weights = rng.standard_normal((200, 100)), rng.standard_normal((100, 500)) * np.sqrt(2 / 100)
for shift in (0, -2, -3, -4, -6):
    out, _ = Relu().forward(affine_forward(samples, weights, np.full(500, float(shift)))[0])
    print(f"bias {shift:2}: {dead_units(out).mean():6.1%} dead, {np.mean(out == 0):6.1%} of all outputs are 0")

# %% [markdown]
# Note the difference between the two columns. Half of the outputs being 0 is how a healthy ReLU layer looks; a unit is lost only when it
# is silent for *all* samples.
#
# ## 9 All together: a first network
#
# Two rings, one class each, that no straight line can separate. The network has 2 inputs, 24 hidden units and one output, whose sigmoid is
# the probability of the outer ring. With the cross entropy as loss (exercise 02), the gradient at the output is simply
# *probability minus label*. Everything else is yours.


# %%
class Straight:
    """No activation at all, for comparison."""

    def forward(self, x: NDArray) -> tuple[NDArray, None]:
        return x, None

    def backward(self, dout: NDArray, cache: None) -> NDArray:
        return dout


def two_rings(count: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Return points (count, 2) and labels (count, 1): 0 for the inner ring, 1 for the outer one."""
    labels = rng.integers(0, 2, (count, 1))
    radius = 0.7 + 0.9 * labels + 0.15 * rng.standard_normal((count, 1))
    angle = rng.uniform(0, 2 * np.pi, (count, 1))
    return radius * np.hstack([np.cos(angle), np.sin(angle)]), labels.astype(float)


def probability(layer, weights: list[NDArray], x: NDArray) -> NDArray:
    w1, b1, w2, b2 = weights
    hidden, _ = layer.forward(affine_forward(x, w1, b1)[0])
    return Sigmoid().forward(affine_forward(hidden, w2, b2)[0])[0]


def train(layer, learning_rate: float, steps: int = 100 if FAST else 1500) -> tuple[list[NDArray], list, list]:
    """Return the weights, the loss and the fraction of hidden units that are 0 for all points, for every step."""
    rng = np.random.default_rng(8)
    weights = [rng.standard_normal((2, 24)), np.zeros(24), 0.3 * rng.standard_normal((24, 1)), np.zeros(1)]
    losses, dead = [], []
    for _ in tqdm(range(steps), desc=f"{type(layer).__name__}, learning rate {learning_rate}", leave=False):
        w1, b1, w2, b2 = weights
        before, cache1 = affine_forward(points, w1, b1)
        hidden, cache = layer.forward(before)
        score, cache2 = affine_forward(hidden, w2, b2)
        p, _ = Sigmoid().forward(score)
        losses.append(-np.mean(np.log(np.where(labels == 1, p, 1 - p) + 1e-12)))
        dead.append(np.mean(np.all(hidden == 0, axis=0)))

        dhidden, dw2, db2 = affine_backward((p - labels) / len(points), cache2)
        _, dw1, db1 = affine_backward(layer.backward(dhidden, cache), cache1)
        weights = [old - learning_rate * gradient for old, gradient in zip(weights, (dw1, db1, dw2, db2), strict=True)]
    return weights, losses, dead


points, labels = two_rings(400, np.random.default_rng(9))
test_points, test_labels = two_rings(400, np.random.default_rng(10))
activations = {"No activation": Straight(), "Sigmoid": Sigmoid(), "ReLU": Relu(), "ELU": Elu()}
trained = {name: (layer, *train(layer, 0.5)) for name, layer in activations.items()}

# %%
grid = np.stack(np.meshgrid(np.linspace(-2.3, 2.3, 120), np.linspace(-2.3, 2.3, 120)), axis=-1)
figure, axes = plt.subplots(1, 5, figsize=(15, 3.1), width_ratios=[1, 1, 1, 1, 1.4])
for axis, (name, (layer, weights, losses, _)) in zip(axes, trained.items(), strict=False):
    shown = probability(layer, weights, grid.reshape(-1, 2)).reshape(120, 120)
    axis.contourf(grid[..., 0], grid[..., 1], shown, levels=np.linspace(0, 1, 11), cmap="RdBu", alpha=0.7)
    axis.scatter(*points.T, c=labels.ravel(), cmap="RdBu", s=5, edgecolors="k", linewidths=0.2)
    accuracy = np.mean((probability(layer, weights, test_points) > 0.5) == (test_labels == 1))
    axis.set(title=f"{name}: {accuracy:.1%}", xticks=[], yticks=[], aspect="equal")
    axes[4].semilogy(losses, label=name)
axes[4].set(xlabel="step", title="Loss")
axes[4].grid(alpha=0.3)
axes[4].legend(frameon=False, fontsize=8, loc="upper right", bbox_to_anchor=(1, 0.85))
figure.tight_layout()
plt.show()

# %% [markdown]
# Expect about 50 % on new points without an activation, whatever the training, and 99 % or more with any of the three. The sigmoid starts
# slowest: its slopes are the smallest.
#
# ### 9.1 Killing units
#
# The same ReLU network with larger and larger learning rates. Watch the units die, and note that none ever comes back.

# %%
figure, axes = plt.subplots(1, 2, figsize=(11, 3.2))
for learning_rate in (0.5, 5, 8, 20):
    _, losses, dead = train(Relu(), learning_rate, steps=100 if FAST else 300)
    axes[0].semilogx(range(1, len(dead) + 1), dead, label=f"learning rate {learning_rate}")
    axes[1].loglog(range(1, len(losses) + 1), losses, label=f"learning rate {learning_rate}")
    print(f"learning rate {learning_rate:4}: {dead[-1]:4.0%} of the hidden units dead, last loss {losses[-1]:.3f}")
axes[0].set(xlabel="step", title="Fraction of dead hidden units", ylim=(-0.05, 1.05))
axes[1].set(xlabel="step", title="Loss")
axes[0].legend(frameon=False, fontsize=8, loc="upper right", bbox_to_anchor=(1, 0.94))
for axis in axes:
    axis.grid(alpha=0.3)
figure.tight_layout()
plt.show()

# %% [markdown]
# Expect deaths within the first ten steps. With learning rate 8 about half of the units are dead, and **the loss does not show it**: the
# others do the work, here. With 20 nobody is left, and the loss can only swing with the last bias.
#
# ## 10 Hand it in
#
# **Save the notebook first.** There is no model this time: the next cell packs this notebook into `submission.zip` and tells how many
# tasks are still open. Hand in that one zip.

# %%
if not FAST:
    submit("01_sigmoid")

# %% [markdown]
# ## How this is graded
#
# | task | points |
# |---|---|
# | `sigmoid`: forward without overflow, and backward | 3 |
# | `numeric_gradient`, `relative_error` | 2 + 1 |
# | `impostor`: fool the careless check | 1 |
# | `relu`, `elu`: forward and backward | 2 + 2 |
# | `inputs_away_from_zero`: repair the check that fails by chance | 1 |
# | `shortcut`: repair the aliasing | 1 |
# | `affine_forward`, `affine_backward` | 1 + 2 |
# | `dead_units` | 1 |
# | three questions in words, read by a person | 1 + 1 + 1 |
# | **together** | **20** |
#
# The grader runs your notebook with the checks you see and a few more inputs of the same kind. Plots and measured numbers earn no points.
#
# ## Key points
#
# - A layer gets `dout` and returns `dx`. For element-wise layers that is one product per entry; the Jacobian is never built.
# - Never trust an exponential: give it numbers that are not positive. `np.where` computes both of its branches.
# - A gradient check needs float64, a central difference with h near 1e-5, a random `dout`, the largest relative error, and inputs away
#   from kinks. Each of these was somebody's bug.
# - An assignment makes no copy. Do not write into arrays that came from outside.
# - Sigmoids saturate, ReLUs die. Measure it; the loss curve alone does not tell which.
#
# ## What comes next
#
# Exercise 02 puts data, loss and training loop around these layers, until a network learns real images.
#
# ## Further reading
#
# - Glorot and Bengio (2010), *Understanding the difficulty of training deep feedforward neural networks*: section 8, measured in earnest.
# - Clevert et al. (2016), *Fast and accurate deep network learning by exponential linear units*: ELU.
# - Goodfellow et al. (2013), *Maxout networks*.
# - Baydin et al. (2018), *Automatic differentiation in machine learning: a survey*: what PyTorch does with your `backward`.
