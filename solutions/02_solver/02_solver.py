# %% [markdown]
# # Exercise 02: Data, loss and the training loop
#
# Last week you wrote the parts of a network. This week you write everything **around** it: what hands it images, what measures how
# wrong it is, and what turns that into better weights. None of it is long, and nearly every line can be wrong in a way that no error
# message shows. A loop that hands back the wrong weights, or a validation that leaves out images, still prints plausible numbers.
#
# You will
#
# 1. write a data set, its split into parts, two transforms and the loader that makes batches,
# 2. write the cross entropy and its gradient so that they survive scores of ±1000,
# 3. write the training step, the validation, the memory for the best weights, and the loop with patience,
# 4. train networks on photographs, and learn to tell from a curve or a ratio what is going wrong.
#
# Set aside three hours. The computer works for about a minute in total on one CPU core; the time of each long step is written above it.
# No GPU needed.
#
# **How a task works.** Replace the line that raises `NotImplementedError`. The cell below checks your code: *right*, *wrong*
# (with what was expected, what came, and where to look) or *not attempted*. Stuck? Run `hint("dataset")` in any cell, then
# `hint("dataset", 2)` and `hint("dataset", 3)`: every hint says more than the one before. **Spot the bug** tasks show code that
# people really ran for courses, with a mistake in it. **Questions** are answered in words, in the cell below them, and read by a
# person. Once a check says *right*, the package itself uses your code, until the kernel restarts: then run everything from the top
# again. A cell that stops with a `NotImplementedError` or a `NameError` waits for a task or a cell above it.

# %% [markdown]
# ## 0 Set-up
#
# **Only on Colab:** upload the course's `02_solver.zip` with the folder symbol on the left, and run the next cell. It unpacks
# the zip and installs what Colab lacks. In JupyterLab and VS Code skip it; it does nothing there.

# %%
import os
import subprocess
import sys
import zipfile

if "google.colab" in sys.modules and os.path.isfile("02_solver.zip"):
    with zipfile.ZipFile("02_solver.zip") as bundle:
        bundle.extractall()
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "onnx", "onnxruntime", "pooch"], check=True)
    os.chdir("exercises/02_solver")

# %%
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

folder = os.getcwd()  # find the course package from wherever the notebook was opened
while not os.path.isdir(os.path.join(folder, "exercise_code")) and folder != os.path.dirname(folder):
    folder = os.path.dirname(folder)
if os.path.isdir(os.path.join(folder, "exercise_code")) and folder not in sys.path:
    sys.path.insert(0, folder)

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from exercise_code import plots
from exercise_code.callbacks import ProgressBar, UpdateRatio
from exercise_code.checks import check, hint
from exercise_code.data import ComposeTransform, Dataset, FlattenTransform, compute_image_mean_and_std
from exercise_code.data.dataloader import BatchReader
from exercise_code.data.dataset import DEFAULT_SPLIT, SPLIT_SEED, load_images
from exercise_code.data.registry import fetch_or_stand_in
from exercise_code.data.transforms import AffineTransform
from exercise_code.loss_curves import NAMES, prepared_curves
from exercise_code.networks import ClassificationNet
from exercise_code.networks.layer import Relu
from exercise_code.networks.loss import MSE, CrossEntropyFromLogits
from exercise_code.networks.optimizer import SGD
from exercise_code.numeric_gradient import numeric_gradient, relative_error
from exercise_code.solver import Solver
from exercise_code.submit import submit

# The grader and our tests run this notebook in seconds on very little data; you will not need this switch.
FAST = os.environ.get("EXERCISE_FAST") == "1"

# %% [markdown]
# ## 1 Data
#
# CIFAR-10: 32 x 32 colour photographs of ten kinds of things. The first run downloads 170 MB and checks them; without a network you get
# a *stand-in* of the same shape, drawn by a program. Everything below works with both; where numbers are given, the first is for
# CIFAR-10.

# %%
source = fetch_or_stand_in("cifar10", stand_in_size=800 if FAST else None)
print("Data:", source.label)
images, labels, classes = load_images(source)
print(f"images {images.shape} of {images.dtype}, {images.nbytes / 1e6:.0f} MB; labels {labels.shape}")
print("as float64 they would take", f"{8 * images.nbytes / 1e6:,.0f} MB")

# %% [markdown]
# ### 1.1 A data set answers two questions
#
# How many samples are there, `len(dataset)`? And what is sample number i, `dataset[i]`? Whatever can answer these two can be trained on,
# whether it holds arrays, opens files, or draws its images on the spot. `dataset[i]` is a dict with an image and a label.
#
# This data set keeps the pixels as they came, one byte each, and **transforms an image only when it is asked for**: that is what saves
# the memory in the last line above. All parts (train, val, test) share one array of images; `_indices` says which of them belong to
# this part, and in which order.

# %% task="dataset" source="exercise_code.data.dataset:ArrayDataset"

# %% check="dataset"
check("dataset", ArrayDataset)
### BEGIN HIDDEN TESTS
check("dataset", ArrayDataset, seed=212)
_pixels = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
_data = ArrayDataset(_pixels, [8, 3], lambda image: image.max())
assert len(_data) == 2 and [item["image"] for item in (_data[0], _data[1])] == [11, 23]
assert [_data[i]["label"] for i in range(2)] == [8, 3]
### END HIDDEN TESTS

# %% [markdown]
# ### 1.2 Three parts
#
# **Train** is for fitting weights, **val** for decisions (which weights, which learning rate, when to stop), **test** for one look at
# the end. If an image is in two parts, the number you report is too good. So the split must be *disjoint*, *complete*, and *the same
# every time*, on every machine; and it has to be shuffled, since many data sets come sorted by class.
#
# `select_split` gets the number of images and the fractions, in order, and has drawn a random order for you. Cut it into pieces.
# (A real course tested the fractions with `sum(split.values()) == 1.0`, and so refused 0.7, 0.2 and 0.1: try that sum. The line with
# `math.isclose` below is the cure.)

# %% task="select_split" source="exercise_code.data.dataset:ImageFolderDataset"

# %% check="select_split"
check("select_split", ImageFolderDataset)
### BEGIN HIDDEN TESTS
check("select_split", ImageFolderDataset, seed=213)
_cut = {"train": 0.15, "val": 0.35, "test": 0.5}
_parts = [ImageFolderDataset.select_split(37, mode, _cut) for mode in _cut]
assert sorted(np.concatenate(_parts).tolist()) == list(range(37)) and [len(part) for part in _parts] == [6, 12, 19]
### END HIDDEN TESTS

# %%
split = {"train": 0.8, "val": 0.1, "test": 0.1}
parts = {mode: ImageFolderDataset(mode=mode, root=source, split=split) for mode in split}
print({mode: len(part) for mode, part in parts.items()})
print("share memory:", np.shares_memory(parts["train"].images, parts["test"].images))
plots.show_images(parts["val"].pixels()[:10], [classes[parts["val"][i]["label"]] for i in range(10)])
plt.show()

# %% [markdown]
# ### 1.3 Transforms: from bytes to numbers a network likes
#
# Pixels from 0 to 255 are all positive and large: with usual initial weights the first scores are huge, and so is the first loss. Two
# steps bring them to mean 0 and standard deviation 1 per colour channel: **rescale** to [0, 1], then **normalise**.
#
# Both multiply by a number and add another one, `scale * x + shift`. `AffineTransform(scale, shift)` does that fast for single images and
# whole batches, so a transform only has to find its two numbers, and hand them to `super().__init__(scale, shift)`.

# %% task="rescale" source="exercise_code.data.transforms:RescaleTransform"

# %% check="rescale"
check("rescale", RescaleTransform)
### BEGIN HIDDEN TESTS
check("rescale", RescaleTransform, seed=214)
assert np.allclose(RescaleTransform((10, 20), (-1, 3))(np.array([[[-1.0, 0.0, 3.0]]])), [[[10.0, 12.5, 20.0]]])
### END HIDDEN TESTS

# %% task="normalize" source="exercise_code.data.transforms:NormalizeTransform"

# %% check="normalize"
check("normalize", NormalizeTransform)
### BEGIN HIDDEN TESTS
check("normalize", NormalizeTransform, seed=215)
assert np.allclose(NormalizeTransform([1.0, 3.0], [0.5, 2.0])(np.array([[[2.0, 2.0]]])), [[[2.0, -0.5]]])
### END HIDDEN TESTS

# %% [markdown]
# The mean and the standard deviation are *learned* from data, like weights. So they come from the **training** images only.

# %%
mean, std = compute_image_mean_and_std(parts["train"].pixels())
print("mean", mean.round(1), "std", std.round(1), "on a scale from 0 to 255")
steps = [RescaleTransform(), NormalizeTransform(mean / 255, std / 255), FlattenTransform()]
prepare = ComposeTransform(steps)

figure, axes = plt.subplots(1, 3, figsize=(12, 2.6))
stages = {"stored": lambda x: x, "rescaled": steps[0], "normalised": ComposeTransform(steps[:2])}
for axis, (name, stage) in zip(axes, stages.items(), strict=True):
    shown = stage(parts["train"].pixels()[:500])
    for channel, colour in enumerate(("tab:red", "tab:green", "tab:blue")):
        axis.hist(shown[..., channel].ravel(), bins=60, histtype="step", color=colour, density=True)
    axis.set(title=f"{name}: mean {abs(shown.mean()):.2f}, std {shown.std():.2f}", yticks=[])
figure.tight_layout()
plt.show()

# %% [markdown]
# Expect mean 0 and standard deviation 1 (nearly: these are 500 images, and the numbers come from all). The shape of the histogram does
# not change; only the scale below it does.
#
# ### 1.4 The loader
#
# Training takes a **batch** of samples per step. One pass through all of them is an **epoch**. The loader decides which samples come
# together:
#
# - `shuffle`: a *new* random order for every epoch, drawn from `self.rng`, so that equal seeds give equal runs,
# - otherwise the data set's own order,
# - `drop_last`: leave out the last batch if it is not full. Good for training (a batch of one is noisy), wrong for measuring.
#
# `self._gather(indices)` reads those samples and stacks them to one array for each key. With `yield`, a function hands out one batch
# and waits on that line until the next one is wanted: never more than one batch lies in memory.

# %% task="dataloader" source="exercise_code.data.dataloader:DataLoader"

# %% check="dataloader"
check("dataloader", DataLoader)
### BEGIN HIDDEN TESTS
check("dataloader", DataLoader, seed=216)
_numbers = [{"label": 10 * i} for i in range(9)]
assert [batch["label"].tolist() for batch in DataLoader(_numbers, 4, drop_last=True)] == [
    [0, 10, 20, 30],
    [40, 50, 60, 70],
]
assert len(DataLoader(_numbers, 4)) == 3 and len(DataLoader(_numbers, 9, drop_last=True)) == 1
### END HIDDEN TESTS

# %%
size = 200 if FAST else 5000
datasets = {
    "train": ImageFolderDataset(prepare, "train", size, split, source),
    "val": ImageFolderDataset(prepare, "val", 100 if FAST else 1000, split, source),
}
train_loader = DataLoader(datasets["train"], batch_size=100, shuffle=True)
val_loader = DataLoader(datasets["val"], batch_size=100)
batch = next(iter(train_loader))
print(f"{len(train_loader)} batches; image {batch['image'].shape} {batch['image'].dtype}, label {batch['label'].shape}")

# %% [markdown]
# What happens without shuffling? Below, the classes of the first 20 batches, from data sorted by class as many data sets are. Without
# shuffling every step would pull the network towards one class, and forget the one before.

# %%
by_class = np.argsort(labels[: 20 * 100], kind="stable")
sorted_data = [{"label": int(labels[i])} for i in by_class]
figure, axes = plt.subplots(1, 2, figsize=(11, 2.8), sharey=True)
for axis, shuffle in zip(axes, (False, True), strict=True):
    bottom = np.zeros(len(DataLoader(sorted_data, 100)))
    counts = np.array(
        [np.bincount(one["label"], minlength=10) for one in DataLoader(sorted_data, 100, shuffle=shuffle)]
    )
    for number in range(10):
        axis.bar(range(len(counts)), counts[:, number], bottom=bottom, width=0.9, color=f"C{number}")
        bottom = bottom + counts[:, number]
    axis.set(title=f"shuffle={shuffle}: classes in each batch", xlabel="batch", xticks=range(0, 20, 5))
figure.tight_layout()
plt.show()

# %% [markdown]
# ## 2 The loss
#
# The network's last layer gives a **score** (logit) $z_c$ for every class. The softmax turns scores into probabilities, and the loss is
# the surprise at the true class $y$, averaged over the $N$ samples of the batch:
#
# $$p_c = \frac{e^{z_c}}{\sum_k e^{z_k}}, \qquad L = -\frac{1}{N} \sum_n \log p_{n, y_n}$$
#
# This is how it stood in the code of a well-known course: first the softmax, then its logarithm times the *one-hot* label, a row of
# zeros with a single 1 at the true class.


# %%
def loss_as_found(logits: NDArray, labels: NDArray) -> float:
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    one_hot = np.eye(logits.shape[1])[labels]
    return float(-np.sum(one_hot * np.log(probabilities)) / len(labels))


with np.errstate(divide="ignore", invalid="ignore"):
    for scores in ([3.0, 0.0, 0.0], [1000.0, 0.0, 0.0]):
        print(f"scores {scores}, true class 0: loss {loss_as_found(np.array([scores]), np.array([0])):.3f}")

# %% [markdown]
# The second answer is as right as can be, its loss should be 0, and it is `nan`. The exponentials are safe here, as the largest score was
# taken away first; but the probabilities of the other classes are exactly 0, their logarithm is $-\infty$, and $0 \cdot (-\infty)$ is
# `nan`. One such sample, and all weights are `nan` after the next step.
#
# ### 2.1 Log-probabilities
#
# Never take the logarithm of a single probability. With $m = \max_k z_k$,
#
# $$\log p_c = z_c - \log \sum_k e^{z_k} = (z_c - m) - \log \sum_k e^{z_k - m}$$
#
# where every exponential lies between 0 and 1, and their sum between 1 and C.

# %% task="log_softmax" source="exercise_code.networks.loss:log_softmax"

# %% check="log_softmax"
check("log_softmax", log_softmax)
### BEGIN HIDDEN TESTS
check("log_softmax", log_softmax, seed=217)
assert np.allclose(log_softmax(np.log([[1.0, 3.0], [2.0, 2.0]])), np.log([[0.25, 0.75], [0.5, 0.5]]))
assert log_softmax(np.array([[-5000.0, 5000.0]])).tolist() == [[-10000.0, 0.0]]
### END HIDDEN TESTS

# %% [markdown]
# ### 2.2 The cross entropy
#
# Given log-probabilities (N, C), *pick* the entry of the true class in every row. No one-hot matrix, nothing to multiply with 0.

# %% task="cross_entropy" source="exercise_code.networks.loss:cross_entropy"

# %% check="cross_entropy"
check("cross_entropy", cross_entropy)
### BEGIN HIDDEN TESTS
check("cross_entropy", cross_entropy, seed=218)
assert abs(cross_entropy(np.array([[-1.0, -7.0], [-5.0, -2.0], [-3.0, -9.0]]), np.array([0, 1, 0])) - 2.0) < 1e-12
### END HIDDEN TESTS

# %% [markdown]
# ### 2.3 Its gradient
#
# With respect to the *scores* the gradient is as simple as can be: probability minus one-hot label, divided by N because the loss is a mean.
#
# $$\frac{\partial L}{\partial z_{nc}} = \frac{1}{N} \bigl( p_{nc} - [c = y_n] \bigr), \qquad [c = y_n] = 1 \text{ for the true class, else } 0$$
#
# You get the probabilities `p`. They still belong to somebody else: in the code mentioned above, backward subtracted 1 from the *stored*
# probabilities, and calling it twice gave two different gradients.

# %% task="cross_entropy_gradient" source="exercise_code.networks.loss:cross_entropy_gradient"

# %% check="cross_entropy_gradient"
check("cross_entropy_gradient", cross_entropy_gradient)
### BEGIN HIDDEN TESTS
check("cross_entropy_gradient", cross_entropy_gradient, seed=219)
_p = np.array([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]])
assert np.allclose(cross_entropy_gradient(_p, np.array([1, 2])), [[0.25, -0.375, 0.125], [0.0, 0.0, 0.0]])
assert _p[0, 1] == 0.25
### END HIDDEN TESTS

# %% [markdown]
# The package's `CrossEntropyFromLogits` puts your three functions together (and refuses labels that cannot be). Last week's gradient check
# tells whether value and gradient belong together:

# %%
loss_func = CrossEntropyFromLogits()
rng = np.random.default_rng(0)
scores, truth = rng.standard_normal((4, 10)), rng.integers(10, size=4)
numeric = numeric_gradient(lambda moved: loss_func(moved, truth), scores)
print(f"relative error of the gradient: {relative_error(loss_func.backward(scores, truth), numeric):.1e}")
print("loss for scores of 1000 and 0:", loss_func(np.array([[1000.0, 0.0, 0.0]]), np.array([0])))

# %% [markdown]
# Expect an error of 1e-7 or less, and a loss of exactly 0.
#
# ### 2.4 Spot the bug: the learning rate that depends on the batch
#
# For predictions that are numbers and not classes the usual loss is the mean squared error, the mean of `(y_out - y_truth)**2` over **all
# entries**. This is how value and gradient were found in a course, and the same slip stood in two more of its losses:


# %%
def mse_value(y_out: NDArray, y_truth: NDArray) -> float:
    return float(np.mean((y_out - y_truth) ** 2))


def mse_gradient_as_found(y_out: NDArray, y_truth: NDArray) -> NDArray:
    return 2 * (y_out - y_truth)


for count in (1, 4, 64):
    y_out, y_truth = rng.standard_normal((count, 1)), rng.standard_normal((count, 1))
    numeric = numeric_gradient(lambda moved, y_truth=y_truth: mse_value(moved, y_truth), y_out)
    print(
        f"{count:3} sample(s): {np.mean(mse_gradient_as_found(y_out, y_truth) / numeric):5.1f} times the true gradient"
    )

# %% [markdown]
# With one sample it is right, and nobody noticed: whoever made the batch larger had to make the learning rate smaller "for some reason".
# Write the gradient that belongs to `mse_value`.


# %% task="mse_gradient"
def mse_gradient(y_out: NDArray, y_truth: NDArray) -> NDArray:
    """Return the gradient of the mean squared error with respect to y_out; both arrays have one shape, any shape."""
    ### BEGIN SOLUTION 02_solver
    return 2 * (y_out - y_truth) / y_out.size
    ### END SOLUTION


# %% check="mse_gradient"
check("mse_gradient", mse_gradient)
### BEGIN HIDDEN TESTS
check("mse_gradient", mse_gradient, seed=220)
assert np.allclose(
    mse_gradient(np.array([[3.0, 0.0], [1.0, 1.0]]), np.array([[1.0, 0.0], [1.0, 3.0]])), [[1, 0], [0, -1]]
)
### END HIDDEN TESTS

# %% [markdown]
# ## 3 One step
#
# Four things in a row: predict, measure, send the gradient back, step. `optimizer.backward(y_pred, y)` fills the gradients of the model,
# and `optimizer.step()` changes its weights, here by plain gradient descent, `SGD`: $w \leftarrow w - \eta\, \partial L / \partial w$.
#
# The loss that is minimised has a second part, regularisation (large weights cost something). The model keeps its terms in the dict
# `model.reg`, up to date after `forward`. They belong to the *training* loss, so add them to what you return.

# %% task="train_step" source="exercise_code.training_loop:train_step"

# %% check="train_step"
check("train_step", train_step)
### BEGIN HIDDEN TESTS
check("train_step", train_step, seed=221)
_net = ClassificationNet(num_layer=1, input_size=1, num_classes=1, std=0.0, reg=0.0, dtype=np.float64)
_sgd = SGD(_net, MSE(), learning_rate=0.25)
_values = [train_step(_net, MSE(), _sgd, np.array([[1.0]]), np.array([[4.0]])) for _ in range(2)]
assert np.allclose(_values, [16.0, 0.0]) and np.allclose([_net.params["W1"].item(), _net.params["b1"].item()], 2.0)
### END HIDDEN TESTS

# %% [markdown]
# ### 3.1 The first loss
#
# Before any training: what loss does a fresh network have? It knows nothing, so ten classes should be equally likely to it. The loop
# tries four standard deviations for the initial weights; `"he"` stands for $\sqrt{2 / \text{inputs}}$ in each layer (exercise 01, section 8).

# %%
batch = next(iter(DataLoader(datasets["val"], len(datasets["val"]))))
for init in (1e-3, "he", 0.1, 1.0):
    net = ClassificationNet(activation=Relu(), std=init)
    print(f"initial weights {init!s:6} first loss {loss_func(net.forward(batch['image']), batch['label']):8.3f}")

# %% [markdown]
# **Question: the first loss** (1 point). The first line prints 2.303. Where does this number come from, and what would it be for 100
# classes? What does a first loss of 500 tell about the network's predictions, and what will it do in its first steps? A friend's
# network starts at 0.2 on ten classes before any training; name two things you would look for.

# %% [markdown] question="first_loss"
# Equal probabilities give every class 1/10, and minus the natural logarithm of 0.1 is 2.303; for 100 classes it is 4.605. A loss of
# 500 means that the network is certain, and wrong: the scores differ by hundreds, because the weights (or the inputs) are too large.
# The first steps only unlearn that certainty, with huge gradients that may throw the weights far off. A start at 0.2 is too good: the
# label may be hidden in the input, the net may be trained already or loaded from a file, images of one class only may be measured, or
# the mean may be taken over too many entries (for example over N times C). Half a point for the first part, half for the second.

# %% [markdown]
# ### 3.2 Learn one image by heart, then ten, then a hundred
#
# The most useful test of all: a network that cannot memorise one image has a **bug**, whatever the settings. It takes seconds, with
# everything switched off that makes memorising harder (regularisation, dropout, augmentation). Look at the *training* accuracy only.
#
# One of the runs below has a bug, in the optimizer: `w = w - lr * dw` instead of `w -= lr * dw`. No error, no warning. The name `w` is
# bound to a new array, and the network's weights stay as they were. *A few seconds.*


# %%
class RebindingSGD(SGD):
    """Gradient descent with a bug."""

    def _update(self, name: str, w: NDArray, dw: NDArray) -> None:
        w = w - self.lr * dw


def memorise(count: int, steps: int, optimizer_class: type = SGD) -> tuple[list[float], float, float]:
    """Train on the same few images again and again; return the losses, and the accuracy on them and on validation images."""
    few = next(iter(DataLoader(datasets["train"], count)))
    net = ClassificationNet(activation=Relu(), std="he")
    optimizer = optimizer_class(net, loss_func, learning_rate=0.02)
    losses = [
        train_step(net, loss_func, optimizer, few["image"], few["label"])
        for _ in tqdm(range(steps), desc=f"{count} image(s)", leave=False)
    ]
    known = float(np.mean(net.forward(few["image"]).argmax(axis=1) == few["label"]))
    return losses, known, net.get_dataset_prediction(val_loader)[2]


figure, axis = plt.subplots(figsize=(8, 3.4))
for count, kind, style in ((1, SGD, "-"), (10, SGD, "-"), (100, SGD, "-"), (10, RebindingSGD, "--")):
    losses, known, val_accuracy = memorise(count, 20 if FAST else 200, kind)
    name = f"{count} image(s)" + (", with the bug" if kind is RebindingSGD else "")
    axis.semilogy(losses, style, label=name)
    print(f"{name:25} last loss {losses[-1]:.4f}, known {known:4.0%}, validation {val_accuracy:.0%}")
axis.set(xlabel="step", ylabel="training loss", title="By heart", ylim=(1e-4, 9))
axis.grid(alpha=0.3)
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# Expect 100 % of the training images in all runs but the broken one, whose loss is a flat line. (The one image is known after a step or two:
# its line leaves the picture at once.) On validation images one image gets you to
# about 10 %, pure luck, and a hundred to about 20 %. Memorising is not learning; it shows that the machinery works.
#
# ## 4 Many steps
#
# ### 4.1 Spot the bug: 9,984 of 10,000
#
# After each epoch the loss on the validation images is measured. This is how it went in a well-known course: one loader setting for
# all parts of the data (shuffle, drop_last, batches of 256), and then the mean over the batches.


# %%
def dataset_loss_as_found(model, loss_func, dataset, seed: int) -> tuple[float, int]:
    loader = DataLoader(dataset, batch_size=256, shuffle=True, drop_last=True, rng=np.random.default_rng(seed))
    losses = [loss_func(model.forward(batch["image"]), batch["label"]) for batch in loader]
    return float(np.mean(losses)), 256 * len(losses)


net = ClassificationNet(activation=Relu(), std="he", dropout=0.5)
fixed = ImageFolderDataset(prepare, "val", None if FAST else 900, split, source)
for seed in range(3):
    if len(fixed) >= 256:
        value, number = dataset_loss_as_found(net, loss_func, fixed, seed)
        print(f"validation loss {value:.4f}, measured on {number} of {len(fixed)} images")

# %% [markdown]
# Same network, same images, three numbers. (With 10,000 validation images only 16 are lost each time, which is why nobody saw it.)
# Whatever you decide by such a number, you partly decide by lot. Two causes you know: images are left out, and other ones each
# time. A third: the dropout of this network is still on, it was never told that this is no training. And even with all images
# a *mean of batch means* is wrong when the last batch is smaller: its few images would count more than the others.
#
# Write it so that every image counts once. `batches` is anything that yields batches, possibly a generator that can be read only once.

# %% task="dataset_loss" source="exercise_code.training_loop:dataset_loss"

# %% check="dataset_loss"
check("dataset_loss", dataset_loss)
### BEGIN HIDDEN TESTS
check("dataset_loss", dataset_loss, seed=222)
_net = ClassificationNet(num_layer=1, input_size=1, num_classes=2, std=0.0, reg=1.0)
_uneven = [{"image": np.ones((n, 1)), "label": np.zeros(n, dtype=int)} for n in (4, 4, 1)]
_value = dataset_loss(_net, lambda out, truth: float(len(truth)), _uneven)
assert abs(_value - 33 / 9) < 1e-12 and _net.training
### END HIDDEN TESTS

# %%
for batch_size in (7, 256, 900):
    print(f"batches of {batch_size:3}: {dataset_loss(net, loss_func, DataLoader(fixed, batch_size)):.6f}")

# %% [markdown]
# Expect the same number three times (up to the last digit; float32 adds up in another order).
#
# ### 4.2 Spot the bug: the best weights that were the last
#
# Training goes on for a while after the best epoch: one cannot know beforehand that it was the best. So the weights of the best epoch
# are kept and put back at the end. This is how the Solver of a well-known course kept them:
#
# ```python
# if val_loss < self.best_loss:
#     self.best_loss = val_loss
#     self.best_params = self.model.params
# ```
#
# In a measured run the best validation loss was 2.33, correctly reported, in epoch 2. The network that came back at the end of the
# training had 5.87. Which weights had it?
#
# Write the memory so that the right weights come back. Mind: a loss may be `nan`, also the very first one; a loss of 0.0 is a loss;
# and after `restore` training may go on.

# %% task="best_weights" source="exercise_code.training_loop:BestWeights"

# %% check="best_weights"
check("best_weights", BestWeights)
### BEGIN HIDDEN TESTS
check("best_weights", BestWeights, seed=223)
_best, _params = BestWeights(), {"W1": np.array([0.0])}
for _value in (float("nan"), 4.0, 2.0, 3.0, 2.0):
    _params["W1"] += 1
    _best.update(_value, _params)
assert _best.loss == 2.0 and _best.waited == 2 and _params["W1"].tolist() == [5.0]
_best.restore(_params)
assert _params["W1"].tolist() == [3.0]
### END HIDDEN TESTS

# %% [markdown]
# ### 4.3 The loop, and when to stop
#
# How many epochs? Nobody knows beforehand. So allow many, and stop when the validation loss has not improved for a number of epochs in a
# row, the **patience**. `one_epoch()` trains, measures and tells `best`; you decide whether there is a next one.

# %% task="run_epochs" source="exercise_code.training_loop:run_epochs"

# %% check="run_epochs"
check("run_epochs", run_epochs)
### BEGIN HIDDEN TESTS
check("run_epochs", run_epochs, seed=224)


class _Waiting:
    waited = 0


def _one_worse_epoch():
    _Waiting.waited += 1
    return 1.0


assert run_epochs(_one_worse_epoch, _Waiting, 9, 4) == "patience" and _Waiting.waited == 4
assert run_epochs(_one_worse_epoch, _Waiting, 3) == "epochs" and _Waiting.waited == 7
### END HIDDEN TESTS

# %% [markdown]
# ### 4.4 All parts together
#
# Here they are, in one small function. Nothing in it is new to you. *About 5 seconds.*


# %%
def train(net, train_loader, val_loader, learning_rate: float, epochs: int, patience: int | None = None):
    """Train a network in place; return the two loss curves, the memory of the best weights, and why it ended."""
    optimizer = SGD(net, loss_func, learning_rate)
    best, train_losses, val_losses = BestWeights(), [], []
    bar = tqdm(total=epochs, unit="epoch")

    def one_epoch() -> float:
        net.train()
        steps = [train_step(net, loss_func, optimizer, one["image"], one["label"]) for one in train_loader]
        train_losses.append(float(np.mean(steps)))
        val_losses.append(dataset_loss(net, loss_func, val_loader))
        best.update(val_losses[-1], net.params)
        bar.update()
        return val_losses[-1]

    reason = run_epochs(one_epoch, best, epochs, patience)
    best.restore(net.params)
    bar.close()
    return train_losses, val_losses, best, reason


net = ClassificationNet(activation=Relu(), std="he")
train_loader = DataLoader(datasets["train"], batch_size=100, shuffle=True)
train_losses, val_losses, best, reason = train(
    net, train_loader, val_loader, 0.02, epochs=3 if FAST else 25, patience=4
)
print(
    f"ended after {len(val_losses)} epochs ({reason}); best validation loss {best.loss:.4f}, "
    f"of the network that came back {dataset_loss(net, loss_func, val_loader):.4f}, "
    f"validation accuracy {net.get_dataset_prediction(val_loader)[2]:.1%}"
)

# %% [markdown]
# Expect about 40 % on validation images (stand-in: about 45 %), and the end by patience after 13 epochs or so (18). The two losses printed
# must agree: that is what `best_weights` was about.
#
# The package's `Solver` is this function with a memory: it keeps histories, draws progress bars, saves checkpoints, and calls *your*
# `train_step`, `dataset_loss`, `BestWeights` and `run_epochs` for the rest. With equal seeds it must find the very same numbers.

# %%
solver = Solver(
    ClassificationNet(activation=Relu(), std="he"),
    DataLoader(datasets["train"], batch_size=100, shuffle=True),
    val_loader,
    learning_rate=0.02,
    optimizer=SGD,
    verbose=False,
    callbacks=[ProgressBar()],
)
solver.train(epochs=3 if FAST else 25, patience=4)
print("same number of epochs:", len(solver.val_loss_history) == len(val_losses))
print("largest difference of the validation losses:", np.abs(np.subtract(solver.val_loss_history, val_losses)).max())
plots.plot_losses({"your loop": solver})
plt.show()

# %% [markdown]
# Expect a difference below 1e-6. (The batches of the validation have another size, so float32 may round differently.)
#
# **Question: two curves** (1 point). In the picture the training loss of the first epoch lies *above* the validation loss, although
# the network trains on those very images. Find the reason in the code of `one_epoch`. The regularisation term is part of the training
# loss and not of the validation loss: why would it be a mistake to choose the best epoch, or the best of several networks with different
# regularisation, by a validation loss that contains it?

# %% [markdown] question="two_curves"
# The training loss of an epoch is the mean over its steps, measured while the weights were still getting better; its first batches met
# a much worse network. The validation loss is measured afterwards, with the weights of the end of the epoch. (Dropout or augmentation
# would be a second reason, since they act in training only.) The term depends on the weights and on the strength chosen, not on how
# well images are classified: a network with a weaker regularisation would win by its small term alone, and within one run the choice
# would prefer early epochs with small weights. Half a point for each part.

# %% [markdown]
# ## 5 Looking at a training run
#
# ### 5.1 How large is a step?
#
# A loss curve says *that* something is wrong, seldom what. One number per layer says more: how far did a step move the weights, compared
# with their size?
#
# $$\frac{\lVert W_\mathrm{after} - W_\mathrm{before} \rVert}{\lVert W_\mathrm{before} \rVert} \qquad \text{about } 10^{-3} \text{ is healthy}$$
#
# Measure it from the weights themselves: learning rate times gradient is the step of plain gradient descent only, and next week's
# optimizers do something else. Weights that are all 0 (biases, at the start) have no size to compare with.

# %% task="update_ratio" source="exercise_code.diagnostics:update_ratio"

# %% check="update_ratio"
check("update_ratio", update_ratio)
### BEGIN HIDDEN TESTS
check("update_ratio", update_ratio, seed=225)
assert abs(update_ratio(np.array([[0.0, 3.0], [4.0, 0.0]]), np.array([[0.0, 3.0], [4.0, 0.5]])) - 0.1) < 1e-12
assert math.isnan(update_ratio(np.zeros(3), np.ones(3)))
### END HIDDEN TESTS

# %% [markdown]
# Five learning rates. The callback `UpdateRatio` measures every fifth step with your function. *About 15 seconds.*

# %%
runs, ratios = {}, {}
for learning_rate in (1e-4, 1e-3, 5e-3, 5e-2, 0.25):
    watch = UpdateRatio(every=5)
    run = Solver(
        ClassificationNet(activation=Relu(), std="he"),
        DataLoader(datasets["train"], batch_size=100, shuffle=True),
        val_loader,
        learning_rate=learning_rate,
        optimizer=SGD,
        verbose=False,
        callbacks=[watch, ProgressBar()],
    )
    run.train(epochs=2 if FAST else 12)
    runs[learning_rate], ratios[learning_rate] = run, watch.ratios["W1"]

# %%
figure, axes = plt.subplots(1, 2, figsize=(13, 4))
for number, (learning_rate, run) in enumerate(runs.items()):
    colour = f"C{number}"
    measured = np.array(ratios[learning_rate])
    axes[0].semilogy(5 * np.arange(len(measured)), measured, color=colour, label=f"learning rate {learning_rate:g}")
    shown = np.minimum(run.val_loss_history, 100)
    ended = "" if run.stop_reason == "epochs" else f" ({run.stop_reason})"
    axes[1].plot(range(1, len(shown) + 1), shown, "o-", markersize=3, color=colour, label=f"{learning_rate:g}{ended}")
axes[0].axhspan(3e-4, 3e-3, color="gray", alpha=0.2)
axes[0].annotate("healthy", (0, 1e-3), color="black", va="center")
axes[0].set(xlabel="step", title="Size of a step, relative to the first layer's weights")
axes[1].set(xlabel="epoch", title="Validation loss", ylim=(1.5, 3.2))
axes[0].legend(frameon=False, fontsize=8)
axes[1].legend(frameon=False, fontsize=8, title="learning rate")
for axis in axes:
    axis.grid(alpha=0.3)
figure.tight_layout()
plt.show()
for learning_rate, run in runs.items():
    accuracy = run.get_dataset_accuracy(val_loader)
    print(
        f"learning rate {learning_rate:<6g} median ratio {np.nanmedian(ratios[learning_rate]):.0e}, "
        f"best validation loss {run.best_model_stats['val_loss'] if run.best_model_stats else math.nan:8.4g}, accuracy {accuracy:.1%}"
    )

# %% [markdown]
# Expect ratios that grow with the learning rate, from 4e-5 to 1e-2 and then to more than 1, and a curve for each: at 1e-4 the loss crawls, at 5e-3 it falls
# steadily, at 0.05 it falls fastest and then turns round. At 0.25 a step is as large as the weights themselves, so every step
# replaces what was learned, and the run diverges within an epoch or a few. The Solver noticed, and stopped.
#
# A thousandth is an order of magnitude, not a law: this small network still learns at ten times as much. But a ratio that is a hundred
# times too large or too small shows in the first ten steps what the loss curve shows after minutes, and it shows it for each layer.
#
# ### 5.2 Name the disease
#
# Six runs on CIFAR-10, recorded for you: training loss dashed, validation loss solid. Mind the scales on the left. Each of them has
# one of these names:

# %%
curves = prepared_curves()
print(*NAMES, sep="\n")
figure, axes = plt.subplots(2, 3, figsize=(13, 6.4))
for axis, (letter, curve) in zip(axes.flat, curves.items(), strict=True):
    epochs = range(1, len(curve.train) + 1)
    axis.plot(epochs, curve.train, "C0--", label="training")
    axis.plot(epochs, curve.val, "C3-", label="validation")
    axis.set_title(letter, fontweight="bold")
    axis.set_xlabel("epoch")
    axis.grid(alpha=0.3)
axes[0, 0].legend(frameon=False)
figure.tight_layout()
plt.show()


# %% task="loss_curves"
def my_diagnosis() -> dict[str, str]:
    """Return letter -> name, with the names from the list above, each used once: {"A": "...", "B": "...", ...}."""
    ### BEGIN SOLUTION 02_solver
    order = "DEBACF"  # in the order of the list
    return dict(zip(order, NAMES, strict=True))
    ### END SOLUTION


# %% check="loss_curves"
check("loss_curves", my_diagnosis)
### BEGIN HIDDEN TESTS
check("loss_curves", my_diagnosis, seed=226)
### END HIDDEN TESTS

# %% [markdown]
# **Question: what next?** (1 point). For the run with the learning rate too low and for the one that overfits: name one remedy each
# that costs no additional data, and say how its curve should change if the remedy works. And for the one where nothing is learned: the
# loss stays at 2.31. Which two tests of this notebook would you run first, and what would each of them tell you?

# %% [markdown] question="what_next"
# Too low: a learning rate three to ten times as high; the curve then falls steeply in the first epochs and levels off further down
# (more epochs alone help as well, slowly). Overfitting: stronger regularisation, a smaller network, augmentation, or stopping early with
# the best weights put back; the gap between the curves gets smaller and the validation loss turns later, or ends at its minimum. Nothing
# learned: memorise one image (fails: a bug or a gradient that does not arrive; works: the settings), and the update ratio per layer
# (near 0 in the first layers: the gradient is lost on the way; 0 everywhere: the optimizer does not reach the weights). A gradient
# check is fine in place of either. A third of the point for each run.

# %% [markdown]
# ## 6 A real training
#
# All training images, a wider network, and patience to decide when it is enough. *About 25 seconds; interrupt it whenever you like, the
# best weights so far are put back.*

# %%
full = ImageFolderDataset(prepare, "train", 300 if FAST else 20_000, split, source)
net = ClassificationNet(activation=Relu(), hidden_size=32 if FAST else 150, std="he", reg=1e-3)
final = Solver(
    net,
    DataLoader(full, batch_size=100, shuffle=True, drop_last=True),
    val_loader,
    learning_rate=0.01,
    optimizer=SGD,
    verbose=False,
    callbacks=[ProgressBar()],
)
final.train(epochs=2 if FAST else 15, patience=3)
print(
    f"ended by {final.stop_reason}; train {final.get_dataset_accuracy(DataLoader(full, 1000)):.1%}, "
    f"val {final.get_dataset_accuracy(val_loader):.1%}"
)
plots.plot_losses({"final": final})
plt.show()

# %% [markdown]
# Now, once, the test images. And some predictions to look at: corrupted images and odd labels cannot be seen in any number.

# %%
test = ImageFolderDataset(prepare, "test", 100 if FAST else None, split, source)
truth, guess, test_accuracy = net.get_dataset_prediction(DataLoader(test, 1000))
print(f"test {test_accuracy:.1%} of {len(test)} images")
plots.show_images(
    test.pixels()[:20],
    [classes[g] if g == t else f"{classes[g]}\nnot {classes[t]}" for g, t in zip(guess[:20], truth[:20], strict=True)],
    wrong=(guess != truth)[:20],
)
plt.show()

# %% [markdown]
# Expect about 46 % on test images of CIFAR-10 (64 % on training images), and about 51 % on the stand-in. In exercise 04 you will need
# 48 % with a network of this kind, and have better tools for it. Look at the wrong ones: backgrounds (a bird on the blue of ships,
# a car in the green of deer) tell what a network without convolutions has learned. Colours and positions, mostly.
#
# ## 7 Hand it in
#
# **Save the notebook first.** There is no model this time: the next cell packs this notebook into `submission.zip` and tells how many
# tasks are still open. Hand in that one zip.

# %%
if not FAST:
    submit("02_solver")

# %% [markdown]
# ## How this is graded
#
# | task | points |
# |---|---|
# | `dataset`, `select_split` | 2 + 2 |
# | `rescale`, `normalize` | 1 + 1 |
# | `dataloader` | 3 |
# | `log_softmax`, `cross_entropy`, `cross_entropy_gradient` | 2 + 1 + 2 |
# | bug: `mse_gradient` | 1 |
# | `train_step` | 2 |
# | bugs: `dataset_loss`, `best_weights` | 2 + 2 |
# | `run_epochs` | 2 |
# | `update_ratio` | 1 |
# | `loss_curves`: six names | 2 |
# | **together, by machine** | **26** |
# | three questions in words, read by a person | 1 + 1 + 1 |
#
# The grader runs your notebook on a small stand-in (that is why it takes seconds there), with the checks you see and a few
# more inputs of the same kind. Plots and accuracies earn no points.
#
# ## Key points
#
# - A data set knows its length and its samples. The loader shuffles anew for every epoch, from a generator of its own.
# - Split once, disjoint, by a fixed seed. Everything that is learned, the mean of the pixels too, comes from the training part.
# - Scores in, log-probabilities out: never the logarithm of a single probability. Value and gradient of a mean are both divided.
# - First loss log-many-classes high, one image learned by heart, steps of about a thousandth of the weights: three checks, seconds each.
# - Validation counts every image once, in evaluation mode, without regularisation.
# - An assignment makes no copy. The best weights are a copy, or they are the last ones.
#
# ## What comes next
#
# Plain gradient descent takes the same step in every direction. Exercise 03 puts better rules in its place, momentum to Adam, and shows what
# each of them does on surfaces that are steep one way and flat the other; and it finds learning rates with a test instead of by luck.
#
# ## Further reading
#
# - Karpathy (2019), *A recipe for training neural networks*: the checks of this notebook, and the order in which to do them.
# - Prechelt (1998), *Early stopping, but when?*: how much patience.
# - Bengio (2012), *Practical recommendations for gradient-based training of deep architectures*.
# - Blanchard, Higham and Higham (2021), *Accurately computing the log-sum-exp and softmax functions*.
