# %% [markdown]
# # Exercise 05: Model search
#
# In exercise 04 every configuration was trained for the same number of epochs, the hopeless ones too, and no run learned anything from
# the ones before it. This week the search gets cleverer: it stops bad runs early, it lets finished runs say where to look next, and at the
# end a small controller learns to design networks. Before all that stand the questions that decide whether a search is worth
# anything: what is wrong with my network, on which images do I choose, and is the difference real?
#
# You will
#
# 1. split data for a purpose, and diagnose bias and variance on finished runs,
# 2. write the folds of cross-validation, and hand your network to scikit-learn's searches,
# 3. stop hopeless runs: successive halving, and Hyperband's table,
# 4. let results choose: Bayesian optimisation with a Gaussian process, and the two steps of TPE,
# 5. make several networks vote, and make one network small,
# 6. train a controller that picks architectures.
#
# Set aside three hours. The computer works for about a minute and a half in total on two CPU cores; the time of each long step is
# written above it. No GPU needed. Nothing has to be trained to a certain accuracy this time: there is no model to hand in.
#
# **How a task works.** Replace the line that raises `NotImplementedError`. The cell below checks your code: *right*, *wrong*
# (with what was expected, what came, and where to look) or *not attempted*. Stuck? Run `hint("kfold_indices")` in any cell, then
# `hint("kfold_indices", 2)` and `hint("kfold_indices", 3)`. **Spot the bug** tasks show what really stood on lecture slides.
# **Questions** are answered in words and read by a person. Once a check says *right*, the package's searchers themselves use your
# code, until the kernel restarts: then run everything from the top again. A cell that stops with a `NotImplementedError` or a
# `NameError` waits for a task or a cell above it.

# %% [markdown]
# ## 0 Set-up
#
# **Only on Colab:** upload the course's `05_model_search.zip` with the folder symbol on the left, and run the next cell. It unpacks
# the zip and installs what Colab lacks. In JupyterLab and VS Code skip it; it does nothing there.

# %%
import os
import subprocess
import sys
import zipfile

if "google.colab" in sys.modules and os.path.isfile("05_model_search.zip"):
    with zipfile.ZipFile("05_model_search.zip") as bundle:
        bundle.extractall()
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "onnx", "onnxruntime", "pooch"], check=True)
    os.chdir("exercises/05_model_search")

# %%
import math
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

folder = os.getcwd()  # find the course package from wherever the notebook was opened
while not os.path.isdir(os.path.join(folder, "exercise_code")) and folder != os.path.dirname(folder):
    folder = os.path.dirname(folder)
if os.path.isdir(os.path.join(folder, "exercise_code")) and folder not in sys.path:
    sys.path.insert(0, folder)

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr
from tqdm.auto import tqdm

from exercise_code import checkpoint
from exercise_code.bias_variance import diagnose, plan_split
from exercise_code.checks import check, hint
from exercise_code.cross_validation import cross_validate
from exercise_code.data import ArrayDataset, DataLoader, ImageFolderDataset
from exercise_code.data.registry import fetch_or_stand_in
from exercise_code.ensembles import Ensemble, Snapshots, ensemble_of_inits
from exercise_code.hyperparameter_tuning import (
    CoarseToFine,
    GaussianProcessSearcher,
    Hyperband,
    ListSearcher,
    RandomSearcher,
    ReinforceController,
    SuccessiveHalving,
    TPESearcher,
    compare,
    tune,
)
from exercise_code.hyperparameter_tuning.hyperband import VARIANTS, format_brackets
from exercise_code.hyperparameter_tuning.plots_methods import (
    plot_brackets,
    plot_gaussian_process,
    plot_policy,
    plot_tpe,
)
from exercise_code.hyperparameter_tuning.plots_search import plot_best_so_far
from exercise_code.hyperparameter_tuning.reinforce import policy
from exercise_code.hyperparameter_tuning.searcher import Result, positive_int
from exercise_code.hyperparameter_tuning.successive_halving import Rungs, check_eta, rung_epochs
from exercise_code.l0_gates import L0Gated
from exercise_code.networks import ClassificationNet
from exercise_code.networks.binary_net import BinaryNet
from exercise_code.networks.layer import Relu
from exercise_code.plots_bias_variance import plot_diagnosis, plot_split_sizing
from exercise_code.plots_diagnostics import plot_cross_validation
from exercise_code.regularization import L1, KeepPruned, Penalized, prune
from exercise_code.schedules import WarmRestarts
from exercise_code.solver import Solver
from exercise_code.submit import submit

# The grader and our tests run this notebook in seconds on very little data; you will not need this switch.
FAST = os.environ.get("EXERCISE_FAST") == "1"

# %% [markdown]
# ## 1 Three parts, three purposes
#
# | part | is used to | how often |
# |---|---|---|
# | train | fit weights | every step |
# | val (also called dev) | fit *settings*: learning rate, width, the epoch to stop at | every trial of a search |
# | test | report, after the last choice | once |
#
# A number is only as honest as the data it comes from is unused. How large must val and test be? Large enough to *show* the change
# you are after. To see an error rate fall from 10 % to 8 % (with 95 % confidence, in four of five experiments), both networks have to
# be measured on more than 3,000 images. A small data set cannot afford that.

# %%
for size in (1_000, 60_000):
    plan = plan_split(size)
    print(f"{size:6,} samples: train {plan.train:,}, val {plan.val:,}, test {plan.test:,}: {plan.advice}")
plot_split_sizing(plan_split(1_000))
plt.show()

# %% [markdown]
# Our data is CIFAR-10 again, and we shrink it so that a whole search takes seconds: 2,000 training and 2,000 validation images, as
# thumbnails of 16 x 16 pixels. The test part stays closed until section 9. The mean and standard deviation come from training images only.

# %%
source = fetch_or_stand_in("cifar10", stand_in_size=800 if FAST else None)
print("Data:", source.label)
split = {"train": 0.6, "val": 0.2, "test": 0.2}
sizes = {"train": 200, "val": 100, "test": 100} if FAST else {"train": 2000, "val": 2000, "test": 4000}


def thumbnails(mode: str) -> tuple[NDArray, NDArray]:
    """Return 16 x 16 images (N, 768) from 0 to 1 and labels (N,) of one part; a pixel is the mean of four."""
    dataset = ImageFolderDataset(mode=mode, root=source, split=split, limit_files=sizes[mode])
    pixels = dataset.pixels().astype(np.float32) / 255
    count, height, width, channels = pixels.shape
    small = pixels.reshape(count, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))
    return small.reshape(count, -1), np.array([dataset[i]["label"] for i in range(count)])


raw = {mode: thumbnails(mode) for mode in sizes}
mean, std = raw["train"][0].mean(), raw["train"][0].std()
images, labels = {mode: (x - mean) / std for mode, (x, _) in raw.items()}, {mode: y for mode, (_, y) in raw.items()}
parts = {mode: ArrayDataset(images[mode], labels[mode]) for mode in sizes}
val_loader = DataLoader(parts["val"], 500)
print({mode: len(part) for mode, part in parts.items()}, "values per image:", raw["train"][0].shape[1])


def train_loader(seed: int, batch_size: int = 64) -> DataLoader:
    return DataLoader(parts["train"], batch_size, shuffle=True, rng=np.random.default_rng(seed))


# %% [markdown]
# ## 2 What is wrong with this network?
#
# Three gaps tell most of it:
#
# $$\underbrace{\text{human} - \text{train}}_{\text{bias}} \qquad \underbrace{\text{train} - \text{val}}_{\text{variance}} \qquad
# \underbrace{\text{val} - \text{test}}_{\text{overfitting val}}$$
#
# Four networks were trained on handwritten digits (MNIST), which people read almost without a mistake (99.8 %). The
# accuracies are measured; only the names have been taken off. Make up your mind about each before you run the cell: what is wrong, and
# what would you change?
#
# | | train | val | test |
# |---|---|---|---|
# | A | 86.1 % | 85.2 % | 85.0 % |
# | B | 100.0 % | 85.9 % | 85.7 % |
# | C | 79.3 % | 59.6 % | 59.9 % |
# | D | 95.6 % | 97.5 % | 85.8 % |

# %%
runs = {
    "A": (0.861, 0.852, 0.850),
    "B": (1.000, 0.859, 0.857),
    "C": (0.793, 0.596, 0.599),
    "D": (0.956, 0.975, 0.858),
}
diagnoses = {name: diagnose(*levels, human=0.998) for name, levels in runs.items()}
plot_diagnosis(diagnoses)
plt.show()
for name in ("A", "B"):
    print(name, diagnoses[name], sep=": ")

# %% [markdown]
# What they were: A has a hidden layer of 5 units and 20,000 images: too small for the job. B has two layers of 256 units and 400 images: it knows
# them by heart. C has 4 hidden units *and* 400 images. D is the best of 60 configurations, chosen on a validation set of **40** images,
# the kind of number that looks wonderful in a report. How much of its last gap could be chance? Say how many images each part had:

# %%
print(diagnose(*runs["D"], human=0.998, sizes=(926, 40, 10_000)))

# %% [markdown]
# On 40 images, 97.5 % is "one mistake", give or take five points. But the gap is larger than that noise, for a reason that the formula does not know:
# the number is the *largest of 60*, and the largest of many noisy numbers is too large on average. That is no property of the network, it is
# a property of the choice. Only images that took no part in the choice show it. (Nor is D free of variance: the lucky val number hides it.) It was no exception: with ten
# different sets of 40 validation images the gap was 4 to 14 points.
#
# One lecture slide measures variance between training and **test** accuracy. Then a network like D gets the advice "collect more
# training data", where a larger validation set was needed. Use val for the variance; the last gap is a quantity of its own.
#
# **Question: six leaks** (3 points). A sweep from a course assignment, shortened. All of it ran without an error message.
#
# ```python
# parser.add_argument("--use_gpu", type=bool, default=True)
# augment = Compose([RandomHorizontalFlip(), RandomVerticalFlip(), ToTensor()])
# full_train = CIFAR10(train=True, transform=augment)
# train_set, val_set = random_split(full_train, [45_000, 5_000])
# sweep = {
#     "metric": {"name": "accuracy_test", "goal": "maximize"},
#     "parameters": {
#         "lr": {"min": 0.05, "max": 0.2},              # uniform; the optimizer may be SGD or Adam
#         "optimizer": {"values": ["sgd", "adam"]},
#         "seed": {"min": 1, "max": 100_000},
#     },
# }
# scheduler = OneCycleLR(optimizer, max_lr=0.2, total_steps=steps)
# ```
#
# Find at least four of the six mistakes. For each: what happens, and what would you write instead?

# %% [markdown] question="leaky_sweep"
# (1) The sweep maximises test accuracy, so the test set has become a validation set and the reported number is too good: use the
# validation accuracy. (2) The validation images come from the augmented set, so they are flipped at random: the metric is
# noisy and measures another task; split indices and give val a transform of its own. Vertical flips are no sensible augmentation for
# photographs of cars and horses either. (3) A learning rate between 0.05 and 0.2 on a linear scale covers less than one decade and
# is far too large for Adam: log scale, with a range for each optimizer. (4) max_lr is fixed at 0.2, so the schedule overwrites the learning
# rate and the search varies nothing: max_lr has to be the sampled one. (5) The seed is tuned: that picks lucky runs, not better settings;
# fix the seeds and average. (6) bool("False") is True, so the GPU cannot be switched off: use a flag (store_true or
# BooleanOptionalAction). One mistake in two earns a point, up to three.

# %% [markdown]
# ## 3 Cross-validation: every sample judges once
#
# When there are only a few hundred samples, no part of them can be spared for validation. So take turns: cut the data into k **folds**,
# train k networks, and each time hold out another fold. Every sample is in exactly one val part. With `labels`, every class is
# spread over the folds as evenly as possible (*stratified* folds); otherwise a fold could miss a rare class.

# %% task="kfold_indices" source="exercise_code.cross_validation:kfold_indices"

# %% check="kfold_indices"
check("kfold_indices", kfold_indices)
### BEGIN HIDDEN TESTS
check("kfold_indices", kfold_indices, seed=512)
_folds = kfold_indices(9, 3, labels=[0, 0, 0, 1, 1, 1, 2, 2, 2])
assert all(sorted(_part // 3) == [0, 1, 2] for _, _part in _folds)
### END HIDDEN TESTS

# %%
few_labels = np.repeat([0, 1, 2], [24, 11, 5])
figure, axes = plt.subplots(1, 2, figsize=(11, 2.4))
for axis, folds, title in [
    (axes[0], kfold_indices(40, 5), "plain folds"),
    (axes[1], kfold_indices(40, 5, labels=few_labels), "stratified folds"),
]:
    picture = np.zeros((5, 40))
    for i, (_, held_out) in enumerate(folds):
        picture[i, held_out] = 1 + few_labels[held_out]
    axis.imshow(picture, cmap="viridis", aspect="auto", interpolation="nearest")
    missing = sum(len(np.unique(few_labels[held_out])) < 3 for _, held_out in folds)
    axis.set(title=f"{title}: {missing} of 5 miss a class", xlabel="sample (sorted by class)", ylabel="fold")
figure.tight_layout()
plt.show()

# %% [markdown]
# Coloured: held out (a colour per class). Now use them. The package's `cross_validate` calls *your* folds. Two networks on
# 300 images. *About 3 seconds.*
#
# Expect on CIFAR-10 about 14 and 30 %, with 3 to 4 points between the folds (stand-in: 14 and 21 %). A difference of 15 points is a real one; had it been
# two points, five folds of 60 images could not tell.

# %%
few = 100 if FAST else 300
small_data = ArrayDataset(images["train"][:few], labels["train"][:few])


def small_net(hidden_size: int) -> ClassificationNet:
    return ClassificationNet(
        activation=Relu(), input_size=768, hidden_size=hidden_size, std="he", rng=np.random.default_rng(1)
    )


crossed = {
    f"{width} hidden units": cross_validate(
        partial(small_net, width), small_data, 5, epochs=2 if FAST else 12, labels=labels["train"][:few]
    )
    for width in (8, 128)
}
plot_cross_validation(crossed)
plt.show()

# %% [markdown]
# Two things are easy to get wrong. *Everything* that is learned from data belongs inside the folds, also the choice of the epoch: the package watches
# a part of the *training* folds for it, and the held-out fold is only scored. And the standard deviation between folds is no error
# bar of the mean: the folds share most of their training images.
#
# ### 3.1 scikit-learn's searches
#
# A network that behaves like a scikit-learn classifier can be searched by their tools. `ClassificationNetEstimator` does. The scaler
# is in the pipeline, so it is fitted inside each fold, too. *About 7 seconds.*

# %%
from scipy.stats import loguniform
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from exercise_code.estimator import ClassificationNetEstimator

pipeline = make_pipeline(
    StandardScaler(), ClassificationNetEstimator(hidden_size=32, epochs=2 if FAST else 12, random_state=0)
)
prefix = "classificationnetestimator__"
x_small, y_small = (raw["train"][i][: 200 if FAST else 600] for i in (0, 1))
searches = {
    "grid": GridSearchCV(pipeline, {f"{prefix}learning_rate": [1e-4, 1e-3, 1e-2], f"{prefix}reg": [1e-4, 1e-2]}, cv=3),
    "random": RandomizedSearchCV(
        pipeline,
        {f"{prefix}learning_rate": loguniform(1e-4, 1e-2), f"{prefix}reg": loguniform(1e-5, 1e-1)},
        n_iter=2 if FAST else 6,
        cv=3,
        random_state=0,
    ),
}
for name, search in searches.items():
    search.fit(x_small, y_small)
    spread = search.cv_results_["std_test_score"][search.best_index_]
    chosen = {key.removeprefix(prefix): f"{value:.2g}" for key, value in search.best_params_.items()}
    print(f"{name:6} {search.best_score_:.1%} +- {spread:.1%} over 3 folds with {chosen}")
    print(f"{'':6} on {len(parts['val']):,} new images: {search.score(*raw['val']):.1%}")

# %% [markdown]
# `GridSearchCV` is often said to "find the best hyper-parameters". It finds the best *of those you listed*, by a number that is the largest of
# six noisy ones. The second line of each is the honest one. (It can also turn out higher: in the end the winner is trained on all 600 images, and not on two thirds
# of them.)
#
# ## 4 Successive halving: stop the hopeless
#
# After three epochs a learning rate that diverges has been found out. Why train it for 27? **Successive halving** starts many
# configurations for a few epochs, keeps the best 1/η, trains those η times as long, and so on. A stage is called a **rung**.
#
# Which ones go on? Write it. Runs that diverged (`nan`, `inf`) never do.

# %% task="halving_survivors" source="exercise_code.hyperparameter_tuning.successive_halving:successive_halving_survivors"

# %% check="halving_survivors"
check("halving_survivors", successive_halving_survivors)
### BEGIN HIDDEN TESTS
check("halving_survivors", successive_halving_survivors, seed=513)
assert list(successive_halving_survivors([float("inf"), 4.0, 2.0, 2.0, 3.0, 9.0, 8.0, 7.0], 4)) == [2, 3]
### END HIDDEN TESTS

# %% [markdown]
# ### 4.1 Spot the bug: the last round
#
# The loop as it stood on the slide, next to a figure with B = 27 epochs: 27 configurations for 1 epoch each, then 9
# for 3, then 3 for 9, then 1 for 27.
#
# ```python
# n = number_of_configurations(C)
# while n > 1:
#     # run all configurations in C for B / n epochs each
#     # sort these runs by validation loss
#     # eliminate the bottom eta configurations from C
#     n = number_of_configurations(C)
# ```
#
# Follow it by hand for n = 27 and η = 3. How many configurations does it eliminate in each round, and when does the last round of the figure run?
# Write down the rounds as the figure means them. (B is the budget of *one round*: the figure spends 4 x 27 = 108 epochs.)


# %% task="elimination_rounds"
def elimination_rounds(configurations: int, budget: int, eta: int) -> list[tuple[int, int]]:
    """Return the rounds of successive elimination as pairs (configurations, epochs that each of them gets).

    budget: epochs of one round, shared by its configurations and rounded down.
    eta: floor(n / eta) of n configurations go on to the next round, at least one.
    The last round has one configuration.
    """
    ### BEGIN SOLUTION 05_model_search
    rounds, alive = [], configurations
    while True:
        rounds.append((alive, budget // alive))
        if alive == 1:
            return rounds
        alive = max(1, alive // eta)
    ### END SOLUTION


# %% check="elimination_rounds"
check("elimination_rounds", elimination_rounds)
### BEGIN HIDDEN TESTS
check("elimination_rounds", elimination_rounds, seed=514)
assert [tuple(_pair) for _pair in elimination_rounds(50, 100, 5)] == [(50, 2), (10, 10), (2, 50), (1, 100)]
### END HIDDEN TESTS

# %% [markdown]
# ### 4.2 Halving for real
#
# Now 27 random configurations of our network. The objective of a search gets a configuration and a context, and returns a number to
# *minimise*. A survivor does not start again: its state is in `context.checkpoint_dir`.

# %%
space = {
    "learning_rate": ([1e-4, 3e-1], "log"),
    "reg": ([1e-6, 1e-1], "log"),
    "hidden_size": ([8, 64], "int"),
    "num_layer": ([1, 2, 3], "item"),
}


def objective(config: dict[str, Any], context: Any) -> dict[str, float]:
    """Train up to context.epochs, on from the checkpoint if there is one; the value is the lowest validation loss."""
    net = ClassificationNet(
        activation=Relu(),
        num_layer=config["num_layer"],
        input_size=768,
        hidden_size=config["hidden_size"],
        std="he",
        reg=config["reg"],
        rng=np.random.default_rng(context.seed),
    )
    solver = Solver(
        net, train_loader(context.seed), val_loader, learning_rate=config["learning_rate"], verbose=False, lr_decay=0.95
    )
    state = context.checkpoint_dir / "state.npz"
    if context.start_epoch:
        checkpoint.resume(solver, state)
    solver.train(epochs=context.epochs - context.start_epoch)
    checkpoint.save(solver, state)
    for epoch, loss in enumerate(solver.val_loss_history, start=1):
        context.report(epoch, loss)
    best = solver.best_model_stats
    return {"value": best["val_loss"] if best else math.nan, "accuracy": solver.get_dataset_accuracy(val_loader)}


search = partial(tune, objective, space, engine="serial", seed=0, progress=not FAST)

# %% [markdown]
# First all 27 for all 27 epochs, 729 epochs together. *About 20 seconds.* Nobody would do that; we do it once, to see what halving misses. Then
# successive halving on the same configurations. *About 3 seconds.*

# %%
start, longest = (9, 9) if FAST else (27, 27)
halving = search(searcher=SuccessiveHalving(space, trials=start, max_epochs=longest, seed=3))
starters = [result.config for result in halving.results[:start]]
everything = search(searcher=ListSearcher(starters, epochs=longest))

figure, axis = plt.subplots(figsize=(10, 4.4))
for result in everything.results:
    if result.curve:
        axis.plot(*zip(*result.curve, strict=True), color="0.8", linewidth=1, zorder=1)
for result in halving.results:
    paid = [(epoch, value) for epoch, value in result.curve if epoch > result.start_epoch - 1]
    if paid:
        axis.plot(*zip(*paid, strict=True), "o-", color="C0", markersize=3, linewidth=1.3, alpha=0.8, zorder=2)
winner = everything.best
axis.plot(
    *zip(*winner.curve, strict=True), "--", color="C3", linewidth=2, zorder=3, label="best of all, trained to the end"
)
axis.set(xscale="log", ylim=(1.6, 2.6) if not FAST else None, xlabel="epoch", ylabel="validation loss")
axis.set_title("Blue: what successive halving paid for. Grey: what it left out")
axis.grid(alpha=0.3)
axis.legend(frameon=False)
plt.show()
after_one = sorted(
    range(start), key=lambda i: everything.results[i].curve[0][1] if everything.results[i].curve else math.inf
)
print(f"the best of all was number {after_one.index(winner.trial) + 1} of {start} after one epoch")
for name, result in (("all to the end", everything), ("halving", halving)):
    print(
        f"{name:15} {result.epochs:4} epochs, loss {result.best.value:.3f}, accuracy {result.best.metrics['accuracy']:.1%}"
    )

# %% [markdown]
# Expect on CIFAR-10 a loss of about 1.87 for 81 epochs, against 1.76 for 729. A ninth of the price, and most of the result, but not all of it: the best configuration of all (red) was
# among the best nine after one epoch (number 6), and thrown out after three, when others were still ahead of it. (On the stand-in the gap is smaller, 1.98 against
# 1.96, and the story is the same.)
#
# **Question: too early** (2 points). Look at the grey curves, or think of a small learning rate: which kind of configuration does halving lose that would
# have won in the end? And what happens when the configurations of one search differ in `lr_decay` or use a one-cycle schedule? Name two
# things that one can do about it.

# %% [markdown] question="too_early"
# It loses slow starters: small learning rates, strong dropout or regularisation, deep networks, which are behind after one epoch and ahead after 27.
# Curves with different decays or schedules cross for the same reason: a schedule that keeps the learning rate high looks bad
# until its very end, so early values cannot be compared. What helps: more epochs in the first rung (larger min_epochs),
# a smaller eta, keeping some configurations that start later (Hyperband's other brackets run the same search with fewer configurations and longer
# first rungs, down to no early stopping at all), or schedules that fit the length of the rung. One point for the kind, one for two remedies.

# %% [markdown]
# ## 5 Hyperband: fill the table
#
# How long should the first rung be? **Hyperband** does not decide: it runs successive halving several times over. Each run is a **bracket** and
# has a number s, which says how often it halves: from "many configurations, one epoch" (s = s_max) to "few configurations, all epochs" (s = 0). R is
# the largest number of epochs that any configuration gets. The lecture shows this table for R = 81 and η = 3:
#
# | | s = 4 | s = 3 | s = 2 | s = 1 | s = 0 |
# |---|---|---|---|---|---|
# | start | 81 for 1 epoch | 27 for 3 | 9 for 9 | 6 for 27 | 5 for 81 |
#
# and says "5 x 81 = 405 epochs". Fill the table, and check that claim with your own numbers. There are two rules for how many start in a
# bracket: the lecture's and that of the published algorithm.

# %% task="hyperband_table" source="exercise_code.hyperparameter_tuning.hyperband:hyperband_brackets"

# %% check="hyperband_table"
check("hyperband_table", hyperband_brackets)
### BEGIN HIDDEN TESTS
check("hyperband_table", hyperband_brackets, seed=515)
assert [[tuple(_pair) for _pair in _rungs] for _rungs in hyperband_brackets(10, 3, "published")] == [
    [(9, 1), (3, 3), (1, 10)],
    [(5, 3), (1, 10)],
    [(3, 10)],
]
### END HIDDEN TESTS

# %%
for variant in VARIANTS:
    table = hyperband_brackets(81, 3, variant)
    restarting, resuming = (sum(rung_epochs(rungs, resume) for rungs in table) for resume in (False, True))
    print(f"{variant}: {restarting:,} epochs when every rung starts again, {resuming:,} when survivors go on\n")
    print(format_brackets(table, resume=False), "\n")
plot_brackets(hyperband_brackets(27))
plt.show()

# %% [markdown]
# So 405 epochs is what a *single* bracket may spend, not all of Hyperband: the lecture's five spend 405, 324, 243, 324 and 405 epochs, 1,701 together.
# Continuing from checkpoints instead of starting again saves a sixth of it. The published rule spends the budget more evenly.
#
# Run it on our network with R = 27. *About 10 seconds.*

# %%
hyperband = search(searcher=Hyperband(space, max_epochs=9 if FAST else 27, seed=4))
best = hyperband.best
shown = {name: round(value, 5) for name, value in best.config.items()}
print(f"Hyperband: {hyperband.epochs} epochs, loss {best.value:.3f}, accuracy {best.metrics['accuracy']:.1%}, {shown}")

# %% [markdown]
# ## 6 From coarse to fine, by machine
#
# In exercise 04 you halved the ranges by hand. `CoarseToFine` does it stage by stage, and goes on with *two* regions, because the best of a few coarse points need not
# lie in the best valley. From here on we often use a toy objective with two hyper-parameters. It costs nothing, and we know its best
# place: learning rate $10^{-2.5}$ and regularisation $10^{-4}$.

# %%
toy_space = {"learning_rate": ([1e-5, 1.0], "log"), "reg": ([1e-7, 1e-1], "log")}


def toy(config: dict[str, Any], context: Any = None) -> float:
    """A validation loss: a narrow valley in the learning rate, with a second, shallower one; flat in the regularisation."""
    rate, reg = np.log10(config["learning_rate"]), np.log10(config["reg"])
    valley = 1.0 - np.exp(-(((rate + 2.5) / 0.8) ** 2)) - 0.55 * np.exp(-(((rate + 0.6) / 0.35) ** 2))
    return float(1.5 + valley + 0.03 * (reg + 4) ** 2)


LOWEST = 1.5
coarse_to_fine = tune(
    toy, toy_space, CoarseToFine(toy_space, trials=9, stages=3, keep=2, seed=1), engine="serial", progress=False
)
figure, axis = plt.subplots(figsize=(8, 4))
rates, regs = np.meshgrid(np.geomspace(1e-5, 1, 80), np.geomspace(1e-7, 1e-1, 60))
heights = [toy({"learning_rate": a, "reg": b}) for a, b in zip(rates.flat, regs.flat, strict=True)]
axis.contourf(rates, regs, np.reshape(heights, rates.shape), levels=16, cmap="Greys", alpha=0.6)
for stage, (first, last) in enumerate([(0, 9), (9, 27), (27, 45)]):
    points = [result.config for result in coarse_to_fine.results[first:last]]
    axis.plot([p["learning_rate"] for p in points], [p["reg"] for p in points], "o", label=f"stage {stage + 1}")
axis.set(
    xscale="log",
    yscale="log",
    xlabel="learning rate",
    ylabel="reg",
    title="Dark is bad. Each stage halves the ranges (of the logarithms)",
)
axis.legend(loc="upper right")
plt.show()
print(f"lowest value {coarse_to_fine.best.value:.3f}, the optimum is {LOWEST}")

# %% [markdown]
# ## 7 Bayesian optimisation, step by step
#
# Random search forgets what it has seen. **Bayesian optimisation** keeps a model of the objective, a *surrogate*, that says for every configuration what loss
# to expect and how sure that is: a mean and a standard deviation. Then it asks: where can I expect the largest **improvement** on the best
# value so far?
#
# For a loss y, predicted as normal with mean μ and standard deviation σ, an improvement is what goes *below* the best, and nothing otherwise:
#
# $$\mathrm{EI} = \mathbb{E}\,[\max(0,\; y_\text{best} - y)] = (y_\text{best} - \mu)\,\Phi(z) + \sigma\,\varphi(z), \qquad z = \frac{y_\text{best} - \mu}{\sigma}$$
#
# It is large where the mean is low (exploit what is known) and where the uncertainty is high (explore what is not).

# %% task="expected_improvement" source="exercise_code.hyperparameter_tuning.gaussian_process:expected_improvement"

# %% check="expected_improvement"
check("expected_improvement", expected_improvement)
### BEGIN HIDDEN TESTS
check("expected_improvement", expected_improvement, seed=516)
assert np.allclose(expected_improvement([0.0, 3.0], [2.0, 0.0], 1.0), [1.3955931, 0.0], atol=1e-6)
### END HIDDEN TESTS

# %% [markdown]
# ### 7.1 Spot the bug: the improvement that is none
#
# The lecture writes y for an *accuracy*, and P(y | c) for what the model predicts for configuration c. The slide says
#
# $$\mathrm{EI}(c) = \int_0^1 (1 - y)\,P(y \mid c)\,dy, \qquad c^* = \max_c \mathrm{EI}(c)$$
#
# Try it on two candidates, one with mean accuracy 0.3, one with 0.9. Which one does it pick? (The integral is $1 - \mathbb{E}[y]$.)
# And is $c^*$ a configuration? Write a function that picks the candidate that was meant. `expected_improvement` is for losses; accuracies go up. (`ndtr` from
# `scipy.special` is $\Phi$, if you would rather write the formula anew.)


# %% task="next_configuration"
def next_configuration(mean: NDArray, std: NDArray, best: float) -> int:
    """Return the position of the candidate with the highest expected improvement in accuracy.

    mean, std: (n,) predicted accuracies, normally distributed; std >= 0.
    best: the highest accuracy so far.
    """
    ### BEGIN SOLUTION 05_model_search
    spread = np.maximum(std, 1e-12)  # a candidate that is known exactly
    z = (np.asarray(mean) - best) / spread
    gains = spread * (z * ndtr(z) + np.exp(-z * z / 2) / math.sqrt(2 * math.pi))
    return int(np.argmax(gains))
    ### END SOLUTION


# %% check="next_configuration"
check("next_configuration", next_configuration)
### BEGIN HIDDEN TESTS
check("next_configuration", next_configuration, seed=517)
assert next_configuration(np.array([0.55, 0.5, 0.1]), np.array([0.0, 0.3, 0.3]), 0.6) == 1
### END HIDDEN TESTS

# %% [markdown]
# ### 7.2 Step by step
#
# The surrogate here is a **Gaussian process**. It assumes that near-by configurations have similar losses: close to a finished trial it
# is sure of what it would find, and the further away from all of them, the less it knows. Watch it work along the learning rate. The upper row shows it
# after 4, 6, 8 and 12 trials (mean and two standard deviations; dashed: the truth, which it does not know). The lower row shows *your* expected
# improvement; the dotted line is where it looks next.

# %%
line_space = {"learning_rate": ([1e-5, 1.0], "log")}


def along_line(learning_rate: float) -> float:
    return toy({"learning_rate": learning_rate, "reg": 1e-4})


def told(searcher: Any, trials: int, value: Any) -> Any:
    """Let a searcher run for some trials of an objective that takes a configuration."""
    while trials > 0:
        proposals = searcher.ask()
        searcher.tell([Result(p.trial, p.config, p.epochs, value(p.config), "ok") for p in proposals])
        trials -= len(proposals)
    return searcher


figure, axes = plt.subplots(2, 4, figsize=(15, 5), height_ratios=[2.2, 1], sharex=True, layout="constrained")
process = GaussianProcessSearcher(line_space, trials=12, seed=2, startup=4)
for column, trials in zip(axes.T, (4, 2, 2, 4), strict=True):
    told(process, trials, lambda config: along_line(config["learning_rate"]))
    plot_gaussian_process(process, truth=along_line, axes=column)
plt.show()

# %% [markdown]
# The first four trials are spread evenly. Then it exploits the better valley, and now and then looks where it knows nothing. What would the slide's formula
# have done? It goes where the predicted *accuracy* is lowest, so where the loss is highest, again and again:

# %%
wrong, right = (GaussianProcessSearcher(line_space, trials=12, seed=2, startup=4) for _ in range(2))
told(wrong, 4, lambda config: along_line(config["learning_rate"]))
told(right, 12, lambda config: along_line(config["learning_rate"]))
grid = np.linspace(0, 1, 101)[:, None]
for _ in range(8):
    worst = grid[np.argmax(wrong.surrogate().predict(grid)[0])]
    wrong.units = np.vstack([wrong.units, worst])
    wrong.values = np.append(wrong.values, along_line(wrong.space.from_unit(worst)["learning_rate"]))
print("lowest loss of trials 5 to 12, slide's formula:     ", f"{wrong.values[4:].min():.3f}")
print("lowest loss of trials 5 to 12, expected improvement:", f"{right.values[4:].min():.3f}")

# %% [markdown]
# ## 8 TPE in two steps
#
# The **tree-structured Parzen estimator** (the default of hyperopt and Optuna) turns the question around. It does not model the loss for a given configuration, but where the
# good and the bad configurations lie. *Step one:* split the finished trials into a good group, the share γ with the lowest losses, and all others, and put a density
# over each: l(x) over the good ones, g(x) over the bad ones.

# %% task="split_good_bad" source="exercise_code.hyperparameter_tuning.tpe:split_good_bad"

# %% check="split_good_bad"
check("split_good_bad", split_good_bad)
### BEGIN HIDDEN TESTS
check("split_good_bad", split_good_bad, seed=518)
_good, _bad = split_good_bad([3.0, 1.0, float("inf"), 2.0, 0.5], 0.3)
assert np.asarray(_good).tolist() == [4, 1] and np.asarray(_bad).tolist() == [0, 2, 3]
### END HIDDEN TESTS

# %% [markdown]
# *Step two:* draw candidates where the good trials lie, and try the one whose ratio l(x) / g(x) is highest: likely among the good ones, unlikely among the bad
# ones. In many dimensions a density may be as small as $e^{-2000}$, which a float cannot hold. So the densities give their logarithms.

# %% task="propose_by_ratio" source="exercise_code.hyperparameter_tuning.tpe:propose_by_ratio"

# %% check="propose_by_ratio"
check("propose_by_ratio", propose_by_ratio)
### BEGIN HIDDEN TESTS
check("propose_by_ratio", propose_by_ratio, seed=519)
### END HIDDEN TESTS

# %%
tpe = told(TPESearcher(toy_space, trials=40, seed=0), 40, toy)
figure, axes = plt.subplots(2, 2, figsize=(13, 5.4), sharex="col", layout="constrained")
for column, name in zip(axes.T, toy_space, strict=True):
    plot_tpe(tpe, name, axes=column)
plt.show()

# %% [markdown]
# The dotted line is where l / g is highest along one parameter. That can be at an edge where hardly any trial lies, with both densities next to nothing: there the
# ratio says little. It does no harm, because the candidates are drawn from l, and l does not go there.
#
# Which of them finds the valley first? Five seeds each on the toy objective. *About 7 seconds.* The line is the median over the seeds, the band goes from quartile to quartile.

# %%
methods = {"random": RandomSearcher, "Gaussian process": GaussianProcessSearcher, "TPE": TPESearcher}
trials, seeds = (10, 1) if FAST else (30, 5)
searched = {}
for name, method in methods.items():
    searched[name] = [
        tune(toy, toy_space, method(toy_space, trials, seed=seed), engine="serial", progress=False).results
        for seed in tqdm(range(seeds), desc=name, disable=FAST)
    ]
plot_best_so_far(searched, optimum=LOWEST, log="y", ylabel="distance to the optimum").axes[0].set_xlabel("trial")
plt.show()

# %% [markdown]
# Expect the Gaussian process far ahead on this smooth objective with two parameters, then TPE (its first ten trials *are* random), then random search. With many parameters, choices inside
# choices and noisy results, TPE holds up better; and random search is never far behind when you can run twenty trials at once.
#
# ### 8.1 Is the winner better, or luckier?
#
# Train the best configuration of section 5 and a simple default five times each, with five seeds. *About 5 seconds.*

# %%
default = {"learning_rate": 1e-3, "reg": 1e-4, "hidden_size": 32, "num_layer": 2}
epochs = 2 if FAST else 15
repeated = tune(
    objective, None, ListSearcher([default] * 5 + [best.config] * 5, epochs), engine="serial", progress=not FAST
)
values = [result.value for result in repeated.results]
print("default:", np.round(values[:5], 3), " searched:", np.round(values[5:], 3))
print(compare(values[:5], values[5:], names=("default", "searched")))

# %% [markdown]
# Each pair of runs shares its seed. The bracket is the 95 % interval of the mean difference, and p says how often luck alone would make so large a difference. Expect
# the searched configuration ahead, with an interval that does not contain 0 (stand-in: -0.14, from -0.20 to -0.07): better, and not only luckier.
#
# **Question: half a point** (2 points). Your search reports 38.5 % for configuration X and 38.0 % for Y, one run each, on 2,000 validation images. Is X better?
# Estimate the uncertainty of one such accuracy, name the two sources of chance that are in the numbers, and say what you would measure before you claim anything.

# %% [markdown] question="half_a_point"
# No, nothing follows from it. The standard error of an accuracy near 0.38 on 2,000 images is sqrt(0.38 * 0.62 / 2000), about 1.1 points, so a
# 95 % interval reaches 2.1 points to each side; half a point is far inside. (Both were measured on the same images, which makes the
# difference somewhat less uncertain, not half a point.) Two sources: which images happen to be in the validation set, and the seed
# (initial weights and order of batches), which alone moves the result by a point or so; choosing the larger of several adds optimism.
# Measure: both configurations with the same five or more seeds and a paired test, or McNemar's test on the predictions; then the
# chosen one once on the test set. One point for the size of the interval, one for the sources and a remedy.

# %% [markdown]
# ## 9 Several networks decide together
#
# You have trained many networks: let them vote. Each member turns its logits into probabilities, and the ensemble takes a weighted mean of those. Write
# it. (Why not a mean of the logits? Because a single overconfident member could outvote all others.)


# %% task="ensemble_probabilities"
def ensemble_probabilities(logits: NDArray, weights: NDArray) -> NDArray:
    """Return the weighted mean of the members' probabilities, (N, C); each row sums to 1.

    logits: (K, N, C), of K members, N samples, C classes; as large as 1e3.
    weights: (K,) numbers >= 0, not all 0; only their ratios matter.
    """
    ### BEGIN SOLUTION 05_model_search
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    each = powers / powers.sum(axis=-1, keepdims=True)
    return np.tensordot(weights / np.sum(weights), each, axes=1)
    ### END SOLUTION


# %% check="ensemble_probabilities"
check("ensemble_probabilities", ensemble_probabilities)
### BEGIN HIDDEN TESTS
check("ensemble_probabilities", ensemble_probabilities, seed=520)
_logits = np.log(np.array([[[0.2, 0.8]], [[0.6, 0.4]]])) + 7
assert np.allclose(ensemble_probabilities(_logits, np.array([3.0, 1.0])), [[0.3, 0.7]])
### END HIDDEN TESTS

# %% [markdown]
# Where do members come from? From other initial weights, from the best trials of a search, or from **snapshots** of a single run: its learning rate falls to
# almost zero, a copy is taken, the learning rate jumps up again and the run ends in another valley. Five networks cost five runs, five snapshots cost one. *About 3 seconds.*

# %%
make_net = partial(ClassificationNet, Relu(), input_size=768, hidden_size=48, std="he", reg=3e-3)
cycle = 2 if FAST else 6
five = ensemble_of_inits(make_net, train_loader(1), val_loader, 5, epochs=cycle, patience=None, learning_rate=1e-3)

snapshots = Snapshots(cycle)
run = Solver(
    make_net(rng=np.random.default_rng(0)),
    train_loader(2),
    val_loader,
    verbose=False,
    schedule=WarmRestarts(learning_rate=2e-3, first_cycle=cycle),
    callbacks=[snapshots],
)
run.train(epochs=5 * cycle)


def accuracy_together(members: Sequence[Any], part: str, weights: NDArray | None = None) -> float:
    logits = np.stack([member.forward(images[part]) for member in members])
    combined = ensemble_probabilities(logits, np.ones(len(members)) if weights is None else weights)
    return float(np.mean(combined.argmax(axis=1) == labels[part]))


for name, members in (("five initial weights", five.members), ("five snapshots", snapshots.models)):
    for member in members:
        member.eval()
    alone = [accuracy_together([member], "val") for member in members]
    together = accuracy_together(members, "val")
    print(f"{name:21} alone {min(alone):.1%} to {max(alone):.1%}, together {together:.1%}")
figure, axis = plt.subplots(figsize=(8, 2.6))
axis.plot(run.lr_history, "o-", markersize=3)
axis.set(xlabel="epoch", ylabel="learning rate", title="Snapshots are taken where the learning rate is lowest")
axis.grid(alpha=0.3)
plt.show()

# %% [markdown]
# Expect on CIFAR-10 three to four points more than the average member for five initial weights (36.5 to 40 %; stand-in: 32 to 36 %), and half a point for the snapshots, which are much more alike. Votes weighted by validation accuracy
# have been *fitted* to the validation images, so their accuracy there is flattered. All choices are made now, so open the test part, once:

# %%
weights = np.array([accuracy_together([member], "val") for member in five.members])
for part in ("val", "test"):
    weighted = accuracy_together(five.members, part, weights)
    single = np.mean([accuracy_together([member], part) for member in five.members])
    print(
        f"{part:5} one member {single:.1%} (mean), weighted vote of five {weighted:.1%} of {len(labels[part]):,} images"
    )
voted = Ensemble(five.members, combine="vote")
print(f"test, each member one vote: {voted.get_dataset_prediction(DataLoader(parts['test'], 500))[2]:.1%}")

# %% [markdown]
# ## 10 How deep, how regular, how small?
#
# ### 10.1 Depth
#
# One to eight layers of 32 units, with two kinds of initial weights, 12 epochs. *About 5 seconds.*


# %%
def trained(net: Any, epochs: int, learning_rate: float = 1e-3, callbacks: Sequence[Any] = ()) -> tuple[float, float]:
    """Train a network and return its accuracy on training and validation images."""
    solver = Solver(net, train_loader(5), val_loader, learning_rate=learning_rate, verbose=False, callbacks=callbacks)
    solver.train(epochs=epochs)
    return tuple(solver.get_dataset_accuracy(DataLoader(parts[part], 500)) for part in ("train", "val"))


depths, epochs = (1, 2, 3, 5, 8), 1 if FAST else 12
figure, axis = plt.subplots(figsize=(8, 3.2))
for name, std in (("std 0.01", 0.01), ("He initialisation", "he")):
    scores = [
        trained(
            ClassificationNet(Relu(), depth, 768, 32, std, rng=np.random.default_rng(depth)),
            epochs,
        )[1]
        for depth in tqdm(depths, desc=name, disable=FAST)
    ]
    axis.plot(depths, scores, "o-", label=name)
axis.set(xlabel="layers", ylabel="validation accuracy", title="Deeper is not better by itself", xticks=depths)
axis.legend(frameon=False)
axis.grid(alpha=0.3)
plt.show()

# %% [markdown]
# Expect on CIFAR-10: two or three layers are enough for 2,000 small images. With a careless initialisation, five or more stay near 20 %. Good initial weights
# keep deep networks alive (so does batch normalisation, the topic of exercise 08), but do not make them better here. And look at two layers: the small initial weights do *best* there. No setting is good by itself.
#
# ### 10.2 L2, L1, L0
#
# Three ways to ask for a simple network: small weights (L2), few weights by a constant pull towards zero (L1), and few weights by *gates*
# that can close (L0, Louizos et al. 2018). The number of nonzero weights itself has no gradient, so it cannot be trained away; but give every weight a gate that
# is open with some probability, and that probability has one. *About 7 seconds.*


# %%
def fresh(reg: float = 0.0, seed: int = 6) -> ClassificationNet:
    return ClassificationNet(Relu(), 2, 768, 48, "he", reg=reg, rng=np.random.default_rng(seed))


def small_share(params: dict[str, NDArray]) -> float:
    """Share of the weights that are smaller than 0.001."""
    weights = np.concatenate([params[name].ravel() for name in ("W1", "W2")])
    return float(np.mean(np.abs(weights) < 1e-3))


epochs = 1 if FAST else 25
studied = {
    "nothing": fresh(),
    "L2, 0.03": fresh(reg=3e-2),
    "L1, 0.003": Penalized(fresh(), L1(3e-3)),
    "L0 gates, 1e-4": L0Gated(fresh(), strength=1e-4, start=0.7),
}
print(f"{'':16} {'train':>7} {'val':>7} {'weights below 0.001':>20}")
for name, net in studied.items():
    train_accuracy, val_accuracy = trained(net, epochs, learning_rate=5e-3 if isinstance(net, L0Gated) else 1e-3)
    params = net.pruned().params if isinstance(net, L0Gated) else net.params
    print(f"{name:16} {train_accuracy:7.1%} {val_accuracy:7.1%} {small_share(params):20.1%}")

# %% [markdown]
# Expect on CIFAR-10: about 36 % without, 39 to 41 % with any of the three. L2 makes all weights smaller and few of them tiny (6 %); L1 brings half of them next to zero;
# the gates switch a quarter of them off altogether, with exact zeros. (On the stand-in the shares are the same; there L2 and L1 gain three points, and the gates lose two.)
#
# ### 10.3 Prune it, or give every weight one bit
#
# The simplest way to few weights: train, drop the smallest, train on. And the most radical way to small ones: keep only the sign. *About 5 seconds.*

# %%
base, epochs = fresh(reg=3e-3), 1 if FAST else 15
dense = trained(base, epochs)[1]
shares, cut, tuned = (0.5, 0.8, 0.9, 0.95, 0.98), [], []
for share in tqdm(shares, desc="pruning", disable=FAST):
    net = fresh()
    net.params = {name: w.copy() for name, w in base.params.items()}
    masks = prune(net, share)
    cut.append(net.get_dataset_prediction(val_loader)[2])
    tuned.append(trained(net, 1 if FAST else 5, callbacks=[KeepPruned(masks)])[1])
binary = trained(BinaryNet(Relu(), 2, 768, 48, "he", rng=np.random.default_rng(6)), epochs)[1]

figure, axis = plt.subplots(figsize=(8, 3.4))
axis.plot(range(5), cut, "o--", color="C3", label="pruned")
axis.plot(range(5), tuned, "o-", color="C0", label="pruned, then trained on for 5 epochs")
axis.axhline(dense, color="gray", linewidth=1, label="all weights")
axis.axhline(binary, color="C2", linewidth=1, linestyle=":", label="binary: one bit per weight")
axis.set(xticks=range(5), xlabel="share of the weights that was dropped", ylabel="validation accuracy")
axis.set_xticklabels([f"{share:.0%}" for share in shares])
axis.set_title("Most weights can go; training on repairs what pruning broke")
axis.legend(frameon=False, fontsize=9)
axis.grid(alpha=0.3)
plt.show()

# %% [markdown]
# Expect on CIFAR-10: with nine of ten weights gone, and five epochs more, the network is as good as before (37 %). One bit per weight costs a point or two
# (on the stand-in six or seven).
#
# ## 11 A controller that designs networks
#
# The last idea of the lecture: a **controller** samples an architecture, a network is trained, and its validation accuracy is the *reward*. There is no right answer to
# compare with, so the controller cannot be trained like a classifier; but we can make choices that paid off more likely. With one softmax per choice, the
# gradient of the expected reward is, on average over the drawn actions (REINFORCE, Williams 1992),
#
# $$(\text{reward} - \text{baseline}) \cdot \nabla \log \mathrm{softmax}(\text{logits})_\text{action}$$
#
# The bracket is called the *advantage*: how much better than usual it went. Differentiate the logarithm.

# %% task="policy_gradient" source="exercise_code.hyperparameter_tuning.reinforce:policy_gradient"

# %% check="policy_gradient"
check("policy_gradient", policy_gradient)
### BEGIN HIDDEN TESTS
check("policy_gradient", policy_gradient, seed=521)
assert np.allclose(policy_gradient(np.log([0.2, 0.5, 0.3]), 2, 10.0), [-2.0, -5.0, 7.0])
### END HIDDEN TESTS

# %% [markdown]
# Training thousands of networks takes days, so all of them have been trained once, and the controller looks its rewards up: 128 architectures for CIFAR-10 (2,000 training images, 12 epochs,
# the better of two learning rates), validation accuracy in tenths of a per cent.

# %%
measured = """
depth activation   without batch norm     with batch norm
                    16  32  64 128         16  32  64 128
1     sigmoid      329 328 335 334        338 335 328 347
1     tanh         331 340 342 330        338 320 339 336
1     relu         332 330 347 336        354 341 341 340
1     leaky relu   327 337 334 336        334 340 326 328
2     sigmoid      330 367 369 374        339 348 350 356
2     tanh         334 346 341 348        354 353 359 362
2     relu         316 362 364 386        349 358 376 380
2     leaky relu   326 356 363 382        356 354 374 384
3     sigmoid      321 346 360 380        346 344 363 355
3     tanh         328 326 351 348        334 356 352 354
3     relu         292 344 362 380        342 354 381 385
3     leaky relu   294 334 361 364        346 361 362 380
4     sigmoid      296 330 349 355        350 348 345 352
4     tanh         318 314 338 352        346 348 356 352
4     relu         312 348 352 356        339 343 358 373
4     leaky relu   318 312 346 371        351 350 370 380
"""
accuracies = np.array([line.split()[-8:] for line in measured.strip().splitlines()[2:]], dtype=float) / 1000
accuracies = accuracies.reshape(4, 4, 2, 4)  # depth, activation, batch norm, width
options = {
    "num_layer": [1, 2, 3, 4],
    "activation": ["sigmoid", "tanh", "relu", "leaky relu"],
    "batch_norm": [False, True],
    "hidden_size": [16, 32, 64, 128],
}


def look_up(config: dict[str, Any], context: Any = None) -> float:
    """The error of an architecture; minus the reward, up to a constant."""
    return 1 - float(accuracies[tuple(options[name].index(config[name]) for name in options)])


controller = ReinforceController(options, trials=300, seed=1, batch=5, learning_rate=0.5)
played = tune(look_up, options, controller, engine="serial", progress=False)
plot_policy(controller, columns=4)
plt.show()
print("most likely architecture:", controller.most_likely(), f"{1 - look_up(controller.most_likely()):.1%}")
print(f"best of all 128: {accuracies.max():.1%}, mean of all: {accuracies.mean():.1%}")

# %%
rewards = np.array([1 - result.value for result in played.results])
drawn = [1 - look_up(config) for config in (p.config for p in RandomSearcher(options, 300, seed=1).ask())]
figure, axis = plt.subplots(figsize=(8, 3))
for name, values in (("controller", rewards), ("random search", np.array(drawn))):
    axis.plot(100 * values.reshape(-1, 20).mean(axis=1), "o-", markersize=4, label=f"{name}: best {values.max():.1%}")
axis.axhline(100 * accuracies.max(), color="gray", linestyle=":", linewidth=1)
axis.set(
    xlabel="20 trials each",
    ylabel="mean accuracy (%)",
    title="The controller's average rises; random search's does not",
)
axis.legend(frameon=False)
axis.grid(alpha=0.3)
plt.show()

# %% [markdown]
# The controller's *average* network gets better and better. But look at the best ones in the legend: in a space this small, random search finds a network just as good in
# the same number of trials. That is a known result also at large scale (Li and Talwalkar 2019): compare with random search before you believe in a clever one. And the four rows
# of depth 1 hold nearly the same network several times (with one layer, neither width nor activation plays a role): the differences between them, up to three points, are noise.
#
# ## 12 Hand it in
#
# **Save the notebook first.** There is no model this time: the next cell packs this notebook into `submission.zip` and tells how many
# tasks are still open. Hand in that one zip.

# %%
if not FAST:
    submit("05_model_search")

# %% [markdown]
# ## How this is graded
#
# | task | points |
# |---|---|
# | `kfold_indices`: plain and stratified folds | 3 |
# | `halving_survivors` | 2 |
# | `hyperband_table` | 3 |
# | `expected_improvement` | 2 |
# | `split_good_bad`, `propose_by_ratio` | 2 + 2 |
# | `ensemble_probabilities` | 2 |
# | `policy_gradient` | 2 |
# | bugs: `elimination_rounds`, `next_configuration` | 1 + 1 |
# | **together, by machine** | **20** |
# | questions `leaky_sweep`, `too_early`, `half_a_point`, read by a person | 3 + 2 + 2 |
#
# The grader runs your notebook with the checks you see and a few more inputs of the same kind. Plots and measured numbers earn no points.
#
# ## Key points
#
# - Bias is human minus train, variance is train minus val, and val minus test is what your choices have cost. Sizes first: a gap within the noise is no gap.
# - Whatever is learned or chosen belongs inside the folds. The best of many noisy numbers is too good.
# - Successive halving gets most of the result for a ninth of the epochs, but loses slow starters; Hyperband hedges. Continue, do not restart.
# - Expected improvement counts only what goes beyond the best. TPE compares densities; both beat random search when trials are few and dear.
# - Different mistakes make an ensemble strong. Most weights are not needed. And always run the random search as well.
#
# ## What comes next
#
# Exercise 06 hands the search to a library, hyperopt: it describes what may be varied, choices within choices too, and tunes a network for
# handwritten digits. The searches of today run in parallel as well: `tune(..., workers=4)`, on one machine or on a cluster, with a log from
# which an interrupted search goes on.
#
# ## Further reading
#
# - Li et al. (2018), *Hyperband*, and Li et al. (2020), *A system for massively parallel hyperparameter tuning* (ASHA): what to do when nobody wants to wait for a rung.
# - Bergstra et al. (2011), *Algorithms for hyper-parameter optimization*: TPE. Watanabe (2023), *Tree-structured Parzen estimator*: what its settings do.
# - Snoek et al. (2012), *Practical Bayesian optimization of machine learning algorithms*.
# - Bouthillier et al. (2021), *Accounting for variance in machine learning benchmarks*: how many seeds it takes.
# - Zoph and Le (2017), *Neural architecture search with reinforcement learning*; Li and Talwalkar (2019), *Random search and reproducibility for neural architecture search*.
