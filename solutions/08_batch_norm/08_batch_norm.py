# %% [markdown]
# # Exercise 08: Batch norm, and then bean leaves
#
# Batch norm is three lines of code that nearly every convolutional network contains. It is also the layer with the most
# surprising behaviour: it makes an image's prediction depend on its neighbours in the batch, it does one thing in training and
# another in use, and the reason its inventors gave for its success is most likely not the reason.
#
# You will
#
# 1. write its forward and backward pass by hand and hold them against torch,
# 2. do what training leaves behind for test time right, and fold it away,
# 3. train sigmoid networks with and without it, before and after the activation, with a bias and without,
# 4. test three explanations of why it works, by experiment,
# 5. build a classifier for bean diseases from 1,034 photographs, tuned by grid, random and Bayesian search with equal budgets,
#    compared fairly, and hand it in for the leaderboard.
#
# Set aside three and a half hours. The computer works for about six minutes in total; the time of each long step is written
# above it (one CPU core; with a GPU it is used for the leaves).
#
# **How a task works**, in short: replace the line that raises `NotImplementedError` and run the check below it. Stuck? Run
# `hint("batchnorm_forward")` in any cell, then `hint("batchnorm_forward", 2)` and `hint("batchnorm_forward", 3)`. **Questions** are answered
# in words and read by a person. Once a check says *right*, the package itself uses your code, until the kernel restarts: then run
# everything from the top again. A cell that stops with a `NotImplementedError` or a `NameError` waits for a task or a cell above it.

# %% [markdown]
# ## 0 Set-up
#
# **Only on Colab:** upload the course's `08_batch_norm.zip` with the folder symbol on the left, and run the next cell. It unpacks
# the zip and installs what Colab lacks. In JupyterLab and VS Code skip it; it does nothing there.

# %%
import os
import subprocess
import sys
import zipfile

if "google.colab" in sys.modules and os.path.isfile("08_batch_norm.zip"):
    with zipfile.ZipFile("08_batch_norm.zip") as bundle:
        bundle.extractall()
    lacking = ["onnx", "onnxruntime", "onnxscript", "pooch"]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *lacking], check=True)
    os.chdir("exercises/08_batch_norm")

# %%
from typing import Any

folder = os.getcwd()  # find the course package from wherever the notebook was opened
while not os.path.isdir(os.path.join(folder, "exercise_code")) and folder != os.path.dirname(folder):
    folder = os.path.dirname(folder)
if os.path.isdir(os.path.join(folder, "exercise_code")) and folder not in sys.path:
    sys.path.insert(0, folder)

import matplotlib.pyplot as plt
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exercise_code.batch_norm_demo import compare_batch_norm, smoothness_summary
from exercise_code.checks import check, hint
from exercise_code.data import DataLoader
from exercise_code.hyperparameter_tuning import (
    GaussianProcessSearcher,
    GridSearcher,
    RandomSearcher,
    compare,
    seed_spread,
    tune,
)
from exercise_code.hyperparameter_tuning.plots_search import plot_best_so_far, plot_slices
from exercise_code.hyperparameter_tuning.space import Space
from exercise_code.labs import beans, mnist, plots_batch_norm
from exercise_code.labs.augmentation import augmentation
from exercise_code.labs.batch_norm import sigmoid_net
from exercise_code.labs.batch_norm_runs import gap_between_modes, watch
from exercise_code.labs.bean_search import BeanObjective, cross_validated, split_leaves, train_bean_net
from exercise_code.labs.bean_net import BeanNet, BothSides
from exercise_code.labs.evaluation import accuracy, predictions
from exercise_code.labs.networks import parameter_count
from exercise_code.labs.plots import plot_histories
from exercise_code.labs.seeding import generator, seeded
from exercise_code.networks.batchnorm import BatchCache, FixedCache, check_arguments
from exercise_code.plots_landscape import plot_smoothness
from exercise_code.submit import submit

# The grader and our tests run this notebook in seconds on very little data; you will not need this switch.
FAST = os.environ.get("EXERCISE_FAST") == "1"

# %% [markdown]
# ## 1 By hand
#
# ### 1.1 Forward
#
# Take one feature, one column of a batch `x` of shape `(N, D)`. Subtract its mean, divide by its standard deviation; then let
# the network undo as much of that as it likes with two learned numbers:
#
# $$\mu = \frac1N \sum_i x_i, \qquad v = \frac1N \sum_i (x_i - \mu)^2, \qquad \hat x_i = \frac{x_i - \mu}{\sqrt{v + \varepsilon}}, \qquad y_i = \gamma\, \hat x_i + \beta$$
#
# **Spot the bug.** A lecture's slide has it like this, and many a notebook copied it:
#
# ```python
# mu = np.mean(z, axis=0)
# sigma = np.mean((z - mu) ** 2, axis=0)
# z_norm = (z - mu) / np.sqrt(sigma ** 2 + eps)
# z_tilde = gamma * z_norm + beta
# ```
#
# What is the standard deviation of `z_norm`, if that of `z` is 10? If it is 0.1? Why might nobody notice for a while? Then
# write the right one. Besides the output, return what the backward pass will need, as a `BatchCache`.

# %% task="batchnorm_forward" source="exercise_code.networks.batchnorm:batchnorm_forward"

# %% check="batchnorm_forward"
check("batchnorm_forward", batchnorm_forward)
### BEGIN HIDDEN TESTS
check("batchnorm_forward", batchnorm_forward, seed=801)
_out, _ = batchnorm_forward(np.array([[0.0], [2.0], [4.0], [6.0]]), np.array([2.0]), np.array([1.0]), eps=4.0)
assert np.allclose(_out.ravel(), [-1.0, 1 / 3, 5 / 3, 3.0])
### END HIDDEN TESTS

# %% [markdown]
# ### 1.2 Backward, node by node
#
# This is the backward pass for which batch norm is infamous. The trick is not to be clever. Write the forward pass as a chain
# of small steps, and walk back over it, one step at a time:
#
# ```
# x ──┬─────────────► centered ──┬──────────────► normalized ──► out
#     └──► mean ──────► (minus)  └─► var ─► inverse_std ─► (times)
# ```
#
# `x` splits into two arrows, `centered` into two. Where an arrow splits on the way forward, the gradients *add* on the way
# back. A mean over N samples hands each of them 1/N of its gradient.

# %% task="batchnorm_backward" source="exercise_code.networks.batchnorm:batchnorm_backward"

# %% check="batchnorm_backward"
check("batchnorm_backward", batchnorm_backward)
### BEGIN HIDDEN TESTS
check("batchnorm_backward", batchnorm_backward, seed=802)
_cache = BatchCache(np.array([[-1.0], [1.0]]), np.array([0.5]), np.array([3.0]), np.array([5.0]), np.array([4.0]))
_dx, _dgamma, _dbeta = batchnorm_backward(np.array([[2.0], [5.0]]), _cache)
assert np.allclose(_dx, 0) and np.allclose(_dgamma, 3) and np.allclose(_dbeta, 7)
### END HIDDEN TESTS

# %% [markdown]
# ### 1.3 Spot the bug: a gradient check that checks nothing
#
# Your neighbour's backward pass forgets `gamma` in `dx`. His check is green all the same:


# %%
def forgetful_backward(dout: NDArray, cache: Any) -> NDArray:
    """The neighbour's dx."""
    N = len(dout)
    return cache.inverse_std * (dout - dout.sum(0) / N - cache.normalized * (dout * cache.normalized).sum(0) / N)


rng = np.random.default_rng(0)
x, gamma, beta = rng.normal(3, 2, (8, 4)), rng.uniform(2, 5, 4), np.zeros(4)


def numeric_dx(dout: NDArray, h: float = 1e-5) -> NDArray:
    """Central differences of sum(out * dout)."""
    dx = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[index] = h
        up, down = (batchnorm_forward(x + sign * step, gamma, beta)[0] for sign in (1, -1))
        dx[index] = ((up - down) * dout).sum() / (2 * h)
    return dx


_, cache = batchnorm_forward(x, gamma, beta)
for name, dout in (("all ones", np.ones_like(x)), ("random", rng.standard_normal(x.shape))):
    for who, dx in (("neighbour", forgetful_backward(dout, cache)), ("you", batchnorm_backward(dout, cache)[0])):
        print(f"dout {name:8}: largest error of {who:9} {np.abs(dx - numeric_dx(dout)).max():.1e}")

# %% [markdown]
# **In words.** (a) Why is `dx` zero for `dout` all ones, whatever `x` and `gamma` are? (b) There is a second direction of `dout`,
# different for every batch, for which it is (nearly) zero as well. Which? (c) What do the two directions have to do with what
# batch norm takes away?

# %% [markdown] question="vacuous_check"
# (a) The sum of the outputs over the batch is N beta, because the normalised values add up to 0 for every x. The loss that
# belongs to a dout of ones is that sum; it does not depend on x, so its gradient is 0, with gamma or without. (b) The normalised
# values themselves (of each feature): the sum of their squares is N v / (v + eps), a constant up to eps. (c) Adding a constant
# to a feature, or stretching it around its mean, does not change the output. So no loss behind the layer can ask x to move in
# these two directions; dx is dout with both of them projected away. One point each.

# %% [markdown]
# ### 1.4 The same in one line
#
# Do the algebra once (on paper; it takes a page), and most of it cancels:
#
# $$\frac{\partial L}{\partial x_i} = \frac{\gamma}{\sqrt{v + \varepsilon}} \left( d_i - \frac1N \sum_j d_j - \hat x_i\, \frac1N \sum_j d_j \hat x_j \right)$$
#
# with $d$ = `dout`. Read it: from `dout` two things are taken away, its mean and its share of $\hat x$. The two sums are
# gradients that you need anyway. Neither the mean nor the variance of the batch appears in it.

# %% task="compact_backward" source="exercise_code.networks.batchnorm:batchnorm_backward_compact"

# %% check="compact_backward"
check("compact_backward", batchnorm_backward_compact)
### BEGIN HIDDEN TESTS
check("compact_backward", batchnorm_backward_compact, seed=803)
_cache = BatchCache(np.array([[-1.0], [1.0]]), np.array([0.5]), np.array([3.0]), np.full(1, np.nan), np.full(1, np.nan))
assert np.allclose(batchnorm_backward_compact(np.array([[2.0], [5.0]]), _cache)[0], 0)
### END HIDDEN TESTS

# %%
x, dout = rng.normal(3, 2, (256, 512)), rng.standard_normal((256, 512))
_, cache = batchnorm_forward(x, np.ones(512), np.zeros(512))
both = [backward(dout, cache) for backward in (batchnorm_backward, batchnorm_backward_compact)]
print("largest difference of the two:", max(np.abs(a - b).max() for a, b in zip(*both, strict=True)))

# %% [markdown]
# ## 2 Test time
#
# In training, an image's output depends on its neighbours in the batch. In use there may be no neighbours. So the layer keeps
# *running statistics* in training, and uses those.
#
# ### 2.1 Spot the bug: moving averages
#
# Two students compare their running statistics after one batch of the numbers 8 and 12. The layer starts with mean 0 and
# variance 1; both say "momentum 0.1, as in torch":
#
# ```python
# running_mean = 0.1 * running_mean + 0.9 * batch.mean(0)                      # A: mean 9.0
# running_var = 0.9 * running_var + 0.1 * batch.var(0, unbiased=False)         # B: var  1.3
# ```
#
# torch has mean 1.0 and variance 1.7. What did A and B overlook? (Keras and our NumPy `BatchNorm` use the word momentum the
# other way round.)

# %% task="running_statistics" source="exercise_code.labs.batch_norm:running_statistics"

# %% check="running_statistics"
check("running_statistics", running_statistics)
### BEGIN HIDDEN TESTS
check("running_statistics", running_statistics, seed=804)
_mean, _var = running_statistics(torch.zeros(1), torch.ones(1), torch.tensor([[0.0], [3.0], [6.0]]), 0.5)
assert torch.allclose(_mean, torch.tensor([1.5])) and torch.allclose(_var, torch.tensor([5.0]))
### END HIDDEN TESTS

# %% [markdown]
# After one batch the running mean has come a tenth of its way. How many batches until it is nearly there? A network that is
# judged after its first few steps, in evaluation mode, looks much worse than it is.

# %%
mean, var = torch.zeros(1), torch.ones(1)
way, truth = [], 10.0
for _ in range(60):
    mean, var = running_statistics(mean, var, truth + torch.randn(128, 1, generator=generator(len(way))))
    way.append(mean.item() / truth)
figure, axes = plt.subplots(figsize=(6, 3))
axes.plot(range(1, 61), way, label="running mean / true mean")
axes.plot(range(1, 61), 1 - 0.9 ** np.arange(1, 61), ":", label=r"$1 - 0.9^{\mathrm{batches}}$")
axes.set(xlabel="batches", ylim=(0, 1.05), title="The running mean needs some 40 batches")
axes.legend(frameon=False)
axes.grid(alpha=0.3)
figure.tight_layout()
plt.show()

# %% [markdown]
# ### 2.2 Spot the bug: a feature that never varied
#
# ```python
# normalized = (x - running_mean) / np.sqrt(running_var)                # 1
# normalized = (x - running_mean) / np.sqrt(running_var + eps)          # 2
# ```
#
# Number 1 is in circulation, and works, until a pixel in the corner is black in every training image. Write the test-time pass.

# %% task="batchnorm_test_time" source="exercise_code.networks.batchnorm:batchnorm_test_forward"

# %% check="batchnorm_test_time"
check("batchnorm_test_time", batchnorm_test_forward)
### BEGIN HIDDEN TESTS
check("batchnorm_test_time", batchnorm_test_forward, seed=805)
_one = np.ones(1)
_out, _ = batchnorm_test_forward(np.array([[7.0]]), 2 * _one, _one, 3 * _one, 0 * _one, eps=4.0)
assert np.allclose(_out, 5.0)
### END HIDDEN TESTS

# %% [markdown]
# ### 2.3 Fold it away
#
# At test time batch norm multiplies each feature by a constant and adds a constant. The linear layer before it does the same
# kind of thing, so the two become one: same answers, nothing left to compute. Phones do this with every network they run.

# %% task="fold_batch_norm" source="exercise_code.labs.batch_norm:fold_batch_norm"

# %% check="fold_batch_norm"
check("fold_batch_norm", fold_batch_norm)
### BEGIN HIDDEN TESTS
check("fold_batch_norm", fold_batch_norm, seed=806)
_linear, _norm = nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, eps=1.0).eval()
with torch.no_grad():
    _linear.weight.fill_(4.0), _norm.running_mean.fill_(2.0), _norm.running_var.fill_(3.0)
    _norm.weight.fill_(6.0), _norm.bias.fill_(1.0)
_folded = fold_batch_norm(_linear, _norm)
assert abs(_folded.weight.item() - 12.0) < 1e-5 and abs(_folded.bias.item() + 5.0) < 1e-5
### END HIDDEN TESTS

# %% [markdown]
# ## 3 Sigmoid networks
#
# The paper that introduced batch norm opens with a small experiment: three hidden layers of 100 sigmoids on MNIST, the first
# weights small random numbers. We do it again, with more care for what is compared.

# %%
digits = mnist.load(stand_in_size=500 if FAST else None, limit=400 if FAST else None)
digits_val = digits.val.batches(5000)
STEPS = 20 if FAST else 5000
print("Data:", digits.label, "| train", len(digits.train), "| val", len(digits.val))


def run_digits(norm: Any = None, learning_rate: float = 2.0, std: float | None = 0.01, **settings: Any) -> Any:
    """Train a 784-100-100-100-10 sigmoid network; return it with what was measured."""
    model = sigmoid_net(norm, std=std, **settings)
    batches = digits.train.batches(128, shuffle=True)
    return model, watch(model, batches, digits_val, steps=STEPS, learning_rate=learning_rate, every=max(1, STEPS // 30))


def report(name: str, run: Any) -> None:
    """One line per run."""
    reached = {f"{level:.0%}": run.steps_to(level) for level in (0.9, 0.95, 0.97)}
    print(f"{name:34} steps to {reached}, best {max(run.val_accuracy):.1%}")


# %% [markdown]
# ### 3.1 With and without
#
# Weights drawn with a standard deviation of 0.01, as one did in 2015. Each network gets the better of two learning rates.
# *About 45 seconds of CPU.*
#
# Expect on MNIST: 90 % after about 2,000 steps without batch norm and never 97 %; 90 % after 500 steps and 97 % after about
# 3,500 with it; and 90 % after 500 steps, 95 % after 1,000 for the third network.


# %%
def better_of_two(name: str, norm: Any = None, **settings: Any) -> Any:
    """Train with two learning rates and keep the run with the higher accuracy."""
    tried = [(rate, *run_digits(norm, rate, **settings)) for rate in (0.5, 2.0)]
    rate, model, run = max(tried, key=lambda one: max(one[2].val_accuracy))
    report(f"{name}, learning rate {rate}", run)
    return model, run


runs = {}
_, runs["without"] = better_of_two("without")
normed, runs["with batch norm"] = better_of_two("with batch norm", nn.BatchNorm1d)
_, runs["without, careful weights"] = run_digits(None, 1.0, std=None)
report("without, std 1 / sqrt(inputs)", runs["without, careful weights"])
plots_batch_norm.plot_runs(runs)
plt.show()

# %% [markdown]
# Look at the middle: without batch norm the first layer's gradient starts about a thousand times smaller, because every layer with
# weights this small divides the signal. That is hypothesis 2 below, and it is right, *here*. But the third network has no batch
# norm either: its weights were only drawn with the right size, 1 / sqrt(inputs), and it keeps up. A good part of what batch norm
# did for networks in 2015, careful first weights do for a small network, too. Batch norm makes the care unnecessary.
#
# ### 3.2 Where to put it
#
# Before the activation, as in the paper, or after it? And what does the bias of a linear layer do in front of batch norm?
# *About 25 seconds.*
#
# Expect on MNIST: *after* the sigmoid 97 % is reached after about 1,300 steps, with the smaller learning rate, well ahead of
# *before* it. For sigmoids, whose outputs all lie in [0, 1], that is no surprise; with ReLUs the two are nearly equal. Without the bias
# you get, to the last digit, the same curve.

# %%
placed = {"before": runs["with batch norm"]}
_, placed["after"] = better_of_two("after", nn.BatchNorm1d, after=True)
_, placed["before, no bias"] = run_digits(nn.BatchNorm1d, bias=False)
report("before, no bias, learning rate 2.0", placed["before, no bias"])
biases = [layer.bias for layer in normed if isinstance(layer, nn.Linear)][:-1]
print("largest bias that training gave the hidden layers (they began at 0):", max(b.abs().max().item() for b in biases))

# %% [markdown]
# **In words.** (a) Why does the bias before batch norm stay where it is, and what takes over its work? (b) How many parameters
# does batch norm add to a hidden layer of 100 units, how many can you take away for it, and what are the shapes of gamma and beta
# for a fully connected layer and for a convolution with 32 channels on 64 x 64 pixels? (c) A sigmoid whose inputs have mean 0 and
# variance 1 is nearly a straight line. Why is that not the end of the network?

# %% [markdown] question="bias_before_norm"
# (a) The bias is added to every sample, so the batch's mean contains it, and subtracting the mean takes it away again. The
# output does not depend on it, its gradient is 0 up to rounding, and it stays at its first value. beta, added after the division,
# does its work. (b) gamma and beta add 200 numbers, the 100 biases can go: 100 more (running mean and variance are 200 numbers
# that are not trained). Fully connected: (100,) each, one per unit. Convolution: (32,) each, one per channel, shared by all
# pixels. (c) gamma and beta are learned: gamma can stretch the inputs far into the bends of the sigmoid and beta can move them
# to one side, wherever the loss is lower. One point each.

# %% [markdown]
# ### 3.3 The size of the batch
#
# The statistics of a batch are estimates. Two samples give poor ones, one sample none at all. Take the trained network and
# compare, for batches of several sizes, its predictions in training mode with those in evaluation mode: whoever forgets
# `model.eval()` gets the former.

# %%
some = digits.val.images[:4096]
SIZES = [size for size in (2, 4, 8, 16, 32, 64, 128) if 4 * size <= len(some)]
gaps = [gap_between_modes(normed, some, size) for size in SIZES]
with torch.no_grad():
    inputs = nn.Sequential(*list(normed)[:2])(some)  # what the first norm gets
whole = {size: [piece for piece in inputs.split(size) if len(piece) == size] for size in SIZES}
noise = [torch.stack([piece.mean(0) for piece in pieces]).std(0).mean().item() for pieces in whole.values()]
plots_batch_norm.plot_batch_sizes(SIZES, gaps, noise)
plt.show()
try:
    normed.train()
    normed(some[:1])
except ValueError as error:
    print("a batch of one image in training mode:", error)
finally:
    normed.eval()

# %% [markdown]
# Expect about half of the predictions changed for batches of two and one in a hundred for 128. The noise is not only bad: like dropout it regularises a little, the less, the larger the batch. But a training set
# whose last batch holds one image stops with the error above. `drop_last=True` is the remedy.
#
# And folding: three linear layers with their norms become three linear layers.

# %%
pieces = list(normed)
folded_net = nn.Sequential(
    pieces[0],
    *[layer for at in (1, 4, 7) for layer in (fold_batch_norm(pieces[at], pieces[at + 1]), nn.Sigmoid())],
    pieces[-1],
).eval()
with torch.no_grad():
    print("largest difference of a logit after folding:", (folded_net(some) - normed(some)).abs().max().item())
    print(
        "predictions changed:", int((predictions(folded_net, some) != predictions(normed, some)).sum()), "of", len(some)
    )

# %% [markdown]
# ## 4 Why does it work? Three hypotheses
#
# ### 4.1 "It reduces the internal covariate shift"
#
# The paper's own explanation: while lower layers learn, the inputs of the higher ones keep changing their distribution;
# batch norm holds it still. If that is the reason, then putting the shift *back*, behind the norm, should spoil the
# effect (Santurkar et al. 2018). Write the layer that does it.

# %% task="shifted_norm" source="exercise_code.labs.batch_norm:ShiftedNorm"

# %% check="shifted_norm"
check("shifted_norm", ShiftedNorm)
### BEGIN HIDDEN TESTS
check("shifted_norm", ShiftedNorm, seed=807)
_layer = ShiftedNorm(3, 2.0).train()
_x = torch.randn(64, 3, generator=torch.Generator().manual_seed(3))
assert not torch.allclose(_layer(_x), _layer(_x)) and torch.allclose(_layer.eval()(_x), _layer.norm.eval()(_x))
### END HIDDEN TESTS

# %% [markdown]
# *About 10 seconds.* Expect on MNIST a drift of 0.07 from one measurement to the next with the injected shift, against 0.02
# without batch norm and 0.005 with it, and still 95 % after about as many steps as plain batch norm.

# %%
compared = {name: runs[name] for name in ("without", "with batch norm")}
_, compared["with batch norm, then shifted"] = run_digits(ShiftedNorm)
for name, run in compared.items():
    report(name, run)
    print(f"{'':34} drift of the last layer's inputs from one measurement to the next: {run.shift:.4f}")
plots_batch_norm.plot_runs(compared)
plt.show()

# %% [markdown]
# The right panel shows that the shift is there, larger than without any batch norm. The left one shows that it hardly matters.
# Less shift is something that batch norm does. It is not why it helps.
#
# ### 4.2 "It keeps gradients alive"
#
# By the chain rule the gradient of the first layer is a product with one factor for every layer above it. Many factors below 1
# leave nothing, many above 1 leave far too much. Count on it: gradients of all four layers, at the first measurement.

# %%
figure, axes = plt.subplots(figsize=(6.4, 3.2))
for name in ("without", "with batch norm", "without, careful weights"):
    axes.semilogy(range(1, 5), runs[name].gradients[0], "o-", label=name)
axes.set(
    xlabel="layer (1 is next to the image)", ylabel="mean |gradient|", xticks=range(1, 5), title="Early in training"
)
axes.legend(frameon=False)
axes.grid(alpha=0.3)
figure.tight_layout()
plt.show()

# %% [markdown]
# True, and a help, where weights are badly scaled. But careful weights do it as well, and batch norm helps deep networks with
# careful weights, too. There is something else.
#
# ### 4.3 "It makes the landscape smoother"
#
# A step is chosen by the gradient *here* and goes *there*. If the gradient there is another one, the step was a guess. For a
# deep ReLU network with well-scaled weights and a large learning rate, look ahead along the gradient $g$, by half to four times
# the step that is taken, and note
#
# - the range of the losses on the way,
# - how far the gradient has changed, $\|g(w) - g(w - \eta g)\|$: its *predictiveness*,
# - the same per distance, the *effective $\beta$-smoothness*.
#
# This network is NumPy, and its batch norm runs on **your** `batchnorm_forward` and `batchnorm_backward_compact`.
# *A few seconds.* Expect on MNIST a range of losses of about 4 without and 0.06 with batch norm (medians), and a gradient that
# changes by nine times its own size against 1.2 times. $\beta$ differs less, 12 against 9: it is measured per distance, and the
# gradients without batch norm are larger.

# %%
digit_samples = [
    {"image": image.reshape(-1), "label": int(label)}
    for image, label in zip(digits.train.images[:4000].numpy(), digits.train.labels[:4000].numpy(), strict=True)
]
histories = compare_batch_norm(
    DataLoader(digit_samples, batch_size=100, shuffle=True, rng=np.random.default_rng(0)),
    num_layer=8,
    learning_rate=0.2,
    steps=6 if FAST else 150,
    every=3 if FAST else 5,
)
plot_smoothness(histories)
plt.show()
for name, row in smoothness_summary(histories).items():
    print(f"{name:20}", ", ".join(f"{what} {value:.3g}" for what, value in row.items()), "(medians)")

# %% [markdown]
# **In words.** Judge the three hypotheses from *your* figures: for each, say what the experiment would have shown if it were the
# whole truth, what it showed, and one thing that the experiment cannot tell.

# %% [markdown] question="three_hypotheses"
# Covariate shift: if it were the reason, injecting a shift behind the norm would have made training as slow as without it; the
# drift became larger than without batch norm and the accuracy hardly moved, so it is not the reason. It cannot tell whether some
# finer notion of shift matters (only means were measured, and of one layer). Gradient flow: if it were the whole truth, careful
# first weights would make batch norm superfluous; in this small network they nearly do, and its gradients stay of equal size, so
# it is a part of the truth here. It cannot tell about deep networks, whose gradients may be sound at the start and not later.
# Smoothness: the range of losses, the change of the gradient relative to its size and beta are smaller with batch norm along the way, as the hypothesis
# says; larger learning rates are then safe. It is a correlation along one run's path with one learning rate, and says nothing
# about how well the network does on new images. One point for each hypothesis.

# %% [markdown]
# ## 5 Bean leaves
#
# Photographs of bean leaves from Uganda, taken by phone in the field: angular leaf spot, bean rust, or healthy. 1,034 to train
# with, 133 for validation, and 128 test leaves that decide the leaderboard. We use 128 x 128 pixels. Without a network you get
# leaves drawn by a program.

# %%
leaves = beans.load(stand_in_size=60 if FAST else None)
print("Data:", leaves.label, "| train", len(leaves.train), "| val", len(leaves.val))
first = leaves.train.where(
    torch.tensor([int(i) for c in range(3) for i in torch.nonzero(leaves.train.labels == c)[:4]])
)
plots_batch_norm.plot_leaves(first.pixels(), [beans.CLASSES[c] for c in first.labels])
plt.show()

# %% [markdown]
# ### 5.1 More leaves for free?
#
# A thousand photographs are few. A leaf seen in a mirror, or from another side, is the same leaf with the same disease. Write
# the strongest such change: one of the eight symmetries of a square, drawn for every image apart.

# %% task="turned" source="exercise_code.labs.augmentation:turned"

# %% check="turned"
check("turned", turned)
### BEGIN HIDDEN TESTS
check("turned", turned, seed=808)
_image = torch.arange(4.0).reshape(1, 1, 2, 2).repeat(300, 1, 1, 1)
_kinds = {tuple(image.flatten().tolist()) for image in turned(_image, torch.Generator().manual_seed(9))}
assert len(_kinds) == 8
### END HIDDEN TESTS

# %%
views = [leaves.train.where(torch.zeros(6, dtype=torch.int64))]
for name in ("mirrored, zoomed", "turned", "all"):
    views.append(views[0].changed(augmentation(name), generator(1)))
titles = [name for name in ("as it is", "mirrored, zoomed", "turned", "all") for _ in range(6)]
plots_batch_norm.plot_leaves(np.concatenate([view.pixels() for view in views]), titles)
plt.show()

# %% [markdown]
# ### 5.2 The network
#
# `BeanNet`: convolution, batch norm, ReLU, maximum over 2 x 2, four times; then the mean over what is left. No bias where a
# norm follows.
#
# First question: does batch norm help, and does augmentation? We ask at half size (64 x 64), where an epoch takes half a second,
# and hold back a third of the *training* leaves: 345 images, against 133 for validation. *About 10 seconds.*

# %%
small = leaves.train.smaller(2)
search_train, held_back = split_leaves(small)
EPOCHS = 1 if FAST else 6
print(f"{parameter_count(BeanNet()):,} parameters")
first_looks = {}
for name, config in {
    "without batch norm": {"batch_norm": False},
    "with batch norm": {"augmentation": "none"},
    "... and mirrored": {"augmentation": "mirrored"},
    "... and turned": {"augmentation": "turned"},
}.items():
    config = {"augmentation": "none", **config}
    _, first_looks[name] = train_bean_net(config, search_train, held_back, EPOCHS)
    print(f"{name:20} accuracy after the last epoch {first_looks[name].val_accuracy[-1]:.1%}")
plot_histories(first_looks)
plt.show()

# %% [markdown]
# Expect on the real leaves about 65 % without batch norm and 78 % with it; 76 % when mirrored and 73 % when turned. The
# curves are still climbing. Augmentation makes the task harder; a small network that trains for a short time may lose more by that than it
# gains. "It is the same leaf" is an assumption about the world. "It helps" is one about your network, your epochs and your
# images. Measure.
#
# ### 5.3 Three searches with the same budget
#
# Grid, random, Bayesian: nine trials of six epochs each. The value to minimise is the *loss* on the held-back leaves, which says more than
# the number of mistakes. The grid spends its nine on two hyper-parameters with three values each; the others draw four at a
# time. *About 60 seconds for all three.*

# %%
space = Space.read(
    {
        "learning_rate": ([1e-3, 3e-2], "log"),
        "weight_decay": ([1e-3, 3e-1], "log"),
        "dropout": ([0.0, 0.5], "float"),
        "augmentation": (["none", "mirrored", "turned"], "item"),
    }
)
TRIALS = 2 if FAST else 9
grid = {"learning_rate": [1e-3, 5e-3, 2.5e-2], "augmentation": ["none", "mirrored", "turned"]}
if FAST:
    grid = {"learning_rate": [1e-3, 5e-3]}
objective = BeanObjective(search_train, held_back)
searches = {
    "grid": tune(objective, None, GridSearcher(grid, epochs=EPOCHS), engine="serial"),
    "random": tune(objective, space, RandomSearcher(space, TRIALS, seed=1, epochs=EPOCHS), engine="serial"),
    "Bayesian": tune(
        objective,
        space,
        GaussianProcessSearcher(space, TRIALS, seed=1, epochs=EPOCHS, startup=min(4, TRIALS)),
        engine="serial",
    ),
}
for name, search in searches.items():
    best = search.best
    print(
        f"{name:9} {len(search.results)} trials, {search.epochs} epochs; best loss {best.value:.3f}, accuracy {best.metrics['accuracy']:.1%}"
    )
    print(f"{'':9} {best.config}")
plot_best_so_far({name: search.results for name, search in searches.items()}, log="", ylabel="lowest loss so far")
plt.show()

# %%
plot_slices(space, searches["random"].results + searches["Bayesian"].results, columns=4)
plt.show()

# %% [markdown]
# ### 5.4 Which search won?
#
# Do not answer yet. The three winners were each the *luckiest* of nine, on the same 345 leaves. Train them again on five folds,
# the same folds and first weights for all, and compare fold by fold. *About 35 seconds.*

# %%
winners = {name: search.best.config for name, search in searches.items()}
folds = {name: cross_validated(config, small, EPOCHS, folds=3 if FAST else 5) for name, config in winners.items()}
plots_batch_norm.plot_folds(folds)
plt.show()
for name, found in folds.items():
    spread = seed_spread(found)
    print(
        f"{name:9} {spread.mean:.1%} +- {spread.std:.1%} over {len(found)} folds, mean in {spread.low:.1%} to {spread.high:.1%}"
    )
for a, b in (("grid", "random"), ("grid", "Bayesian"), ("random", "Bayesian")):
    print(compare(folds[a], folds[b], names=(a, b), lower_is_better=False))

# %% [markdown]
# Expect on the real leaves 78 to 79 % for each (after six epochs at half size), a standard deviation of three points over the folds,
# and differences of one point with intervals of two to four points to each side. (Two folds share most of their training leaves, so even these intervals are a little too
# narrow.) With an honest comparison the three are usually not to be told apart: nine trials of a forgiving space leave little
# room to win by. And look at the 133 validation leaves with these eyes: one image is 0.75 %, and at 90 % the interval for the true
# accuracy is about five points wide to each side. Whoever ranks configurations by single runs on them ranks luck. (How large a
# difference could you see with five folds? `exercise_code.hyperparameter_tuning.significance.seeds_needed` tells.)
#
# ## 6 The final network
#
# Full size, more epochs, all 1,034 training leaves; the validation leaves say which epoch to keep. *About 50 seconds on one
# core.*
#
# Expect on the real leaves between 91 and 94 % of the validation leaves: the seed, and even the number of threads that add up the
# numbers, move one or two of the 133 images. (Forty epochs with `"mirrored, zoomed"` take 80 seconds and reach about the same.)
#
# Your turn: take what you found above, and try what you think is missing. Width, blocks, more epochs, stronger augmentation with
# more epochs, several networks averaged, `BothSides`, which asks about the mirror image as well. Choose by the validation leaves
# or by cross-validation; several seeds tell you what is luck.

# %%
my_config = {"augmentation": "none", "learning_rate": 3e-3, "weight_decay": 5e-2, "width": 16, "dropout": 0.2}
model, history = train_bean_net(my_config, leaves.train, leaves.val, 1 if FAST else 30, seed=0, progress=True)
final = model.cpu()
plot_histories({"final": history})
plt.show()
val_batches = leaves.val.batches(50)
print(f"validation {accuracy(final, val_batches):.1%}; with both sides {accuracy(BothSides(final), val_batches):.1%}")
wrong = predictions(final, leaves.val.images) != leaves.val.labels
shown = torch.nonzero(wrong).flatten()[:6]
if len(shown):
    answers = predictions(final, leaves.val.images[shown])
    titles = [
        f"{beans.CLASSES[a]},\nis {beans.CLASSES[t]}" for a, t in zip(answers, leaves.val.labels[shown], strict=True)
    ]
    plots_batch_norm.plot_leaves(leaves.val.where(shown).pixels(), titles)
    plt.show()

# %% [markdown]
# ## 7 Hand it in
#
# One file, `model.onnx`: images of 3 x 128 x 128 with values in [0, 1] in, three logits out; the normalisation goes in with it.
# **Save the notebook first.** The next cell exports the network, checks the file against it, and writes `submission.zip`. Running
# statistics are part of the file: the exported network is in evaluation mode, and asks nobody's neighbours.

# %%
if not FAST:
    submit(
        "08_batch_norm",
        models={"model.onnx": final},
        claimed={"model.onnx": accuracy(final, val_batches)},
        input_shape=(3, 128, 128),
        transform=leaves.transform,
        data=leaves.label,
    )

# %% [markdown]
# ## How this is graded
#
# | task | points |
# |---|---|
# | `batchnorm_forward`: spot the bug | 2 |
# | `batchnorm_backward`, `compact_backward` | 3 + 2 |
# | `running_statistics`, `batchnorm_test_time`: spot the bugs | 2 + 1 |
# | `fold_batch_norm` | 2 |
# | `shifted_norm` | 2 |
# | `turned` | 2 |
# | three questions in words, read by a person | 3 + 3 + 3 |
# | **together** | **25** |
#
# The grader runs your notebook on a small stand-in, with the checks you see and a few more inputs of the same kind. Training
# results earn no points there; your network is scored apart, on the hidden leaves: **75 % correct passes**. With so few of them,
# neighbours on the board are often separated by luck; the board's intervals show it.
#
# ## Take away
#
# - Batch norm normalises each feature over the batch, by the *variance* plus eps under the root, then scales and shifts.
# - Its gradient is `dout` without its mean and without its share of the normalised values. A `dout` of ones checks nothing.
# - Training uses the batch, testing the running statistics. `model.eval()`, `drop_last`, momentum's two conventions, unbiased
#   variance and eps are where the bugs are.
# - No bias in front of it. At test time it folds into the layer before.
# - Covariate shift is not the reason. Gradients of equal size and a smoother landscape are better ones.
# - With 133 validation images one run says little. Hold back more, use folds, the same ones for everybody, and test the difference.
#
# **This was the last exercise.** **Further reading:** Ioffe and Szegedy (2015), *Batch normalization*; Santurkar et al. (2018),
# *How does batch normalization help optimization?*; Wu and He (2018), *Group normalization*, for small batches; Brock et al. (2021),
# *High-performance large-scale image recognition without normalization*, for none at all.
