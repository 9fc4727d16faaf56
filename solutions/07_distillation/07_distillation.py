# %% [markdown]
# # Exercise 07: Knowledge distillation
#
# A network with 2.4 million weights reads digits well. Your users' device has room for 40,000. You could train the small
# network on the labels and take what you get. Or you could let the large one *teach* it: for every image the teacher does not
# just say "7", it says "7, a little like a 1, not at all like an 8". That is more to learn from than a label.
#
# You will
#
# 1. repair the lecture's teacher and train it,
# 2. look at what it knows beyond the labels, and turn the temperature,
# 3. find out why the lecture's loss starves the student, and write the one that does not,
# 4. compare **fairly**: same student, same images, same epochs, five seeds, with an interval,
# 5. teach a digit that the student never sees,
# 6. make the student smaller still, with pruned and with one-bit weights,
# 7. hand in two students, taught and untaught. The board shows the gain.
#
# Set aside three hours. The computer works for about six minutes in total; the time of each long step is written above it
# (one CPU core; with a GPU it is used).
#
# **How a task works**, in short: replace the line that raises `NotImplementedError` and run the check below it. Stuck? Run
# `hint("teacher_net")` in any cell, then `hint("teacher_net", 2)` and `hint("teacher_net", 3)`. **Questions** are answered
# in words and read by a person. Once a check says *right*, the package itself uses your code, until the kernel restarts: then run
# everything from the top again. A cell that stops with a `NotImplementedError` or a `NameError` waits for a task or a cell above it.

# %% [markdown]
# ## 0 Set-up
#
# **Only on Colab:** upload the course's `07_distillation.zip` with the folder symbol on the left, and run the next cell. It unpacks
# the zip and installs what Colab lacks. In JupyterLab and VS Code skip it; it does nothing there.

# %%
import os
import subprocess
import sys
import zipfile

if "google.colab" in sys.modules and os.path.isfile("07_distillation.zip"):
    with zipfile.ZipFile("07_distillation.zip") as bundle:
        bundle.extractall()
    lacking = ["onnx", "onnxruntime", "onnxscript", "pooch"]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *lacking], check=True)
    os.chdir("exercises/07_distillation")

# %%
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

folder = os.getcwd()  # find the course package from wherever the notebook was opened
while not os.path.isdir(os.path.join(folder, "exercise_code")) and folder != os.path.dirname(folder):
    folder = os.path.dirname(folder)
if os.path.isdir(os.path.join(folder, "exercise_code")) and folder not in sys.path:
    sys.path.insert(0, folder)

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm

from exercise_code.checks import check, hint
from exercise_code.labs import mnist, plots
from exercise_code.labs.augmentation import jittered
from exercise_code.labs.batches import Batches
from exercise_code.labs.distillation import T_QUANTILE, BinaryStudent, StudentNet
from exercise_code.labs.evaluation import PIECE, accuracy, predict_logits
from exercise_code.labs.networks import parameter_count
from exercise_code.labs.seeding import seeded
from exercise_code.labs.training import fit
from exercise_code.regularization import magnitude_masks
from exercise_code.schedules import Cosine
from exercise_code.submit import submit

# The grader and our tests run this notebook in seconds on very little data; you will not need this switch.
FAST = os.environ.get("EXERCISE_FAST") == "1"

# %% [markdown]
# ## 1 Data
#
# MNIST: 28 x 28 grey digits. The first run downloads 11 MB; without a network you get a *stand-in* of the same shape, drawn by
# a program. The 60,000 official training images are cut in two, **train** to fit weights and **val** to choose settings. The
# official test images are not even loaded yet.
#
# (Elsewhere you will meet MNIST as `torchvision.datasets.MNIST(root)`. `mnist.torchvision_root("some/folder")` writes the files
# that it looks for. We keep all images in memory as one tensor instead: for small networks that is ten times as fast as
# fetching one at a time.)

# %%
data = mnist.load(stand_in_size=500 if FAST else None, limit=400 if FAST else None)
val = data.val.batches(1000)
classes = [str(digit) for digit in range(10)]
print("Data:", data.label, "| train", len(data.train), "| val", len(data.val))

# %% [markdown]
# ## 2 The teacher
#
# ### 2.1 Spot the bug
#
# This is how a lecture wrote the teacher down. It has the right layers, and still it is not the network of its picture:
# 784-1200-1200-10 with dropout on both hidden layers. Called on a batch from the loader, it does not even run. Three things are
# wrong.
#
# ```python
# class teacher_net(nn.Module):
#     def __init__(self, dropout=0.5):
#         super(teacher_net, self).__init__()
#         self.linear_1 = nn.Linear(784, 1200)
#         self.relu = nn.ReLU()
#         self.dropout = nn.Dropout(p=dropout)
#         self.linear_2 = nn.Linear(1200, 1200)
#         self.dropout = nn.Dropout(p=dropout)
#         self.linear_3 = nn.Linear(1200, 10)
#
#     def forward(self, input):                 # input: (N, 1, 28, 28)
#         scores = self.linear_1(input)
#         scores = self.relu(scores)
#         scores = self.linear_2(scores)
#         scores = self.relu(scores)
#         scores = self.dropout(scores)
#         scores = self.linear_3(scores)
#         return scores
# ```
#
# Write it as it was meant. The check does not read your code: it watches what each layer hands on.

# %% task="teacher_net" source="exercise_code.labs.distillation:TeacherNet"

# %% check="teacher_net"
check("teacher_net", TeacherNet)
### BEGIN HIDDEN TESTS
check("teacher_net", TeacherNet, seed=701)
with seeded(7):
    _teacher = TeacherNet(dropout=0.25).eval()
assert _teacher(torch.zeros(3, 28, 28)).shape == (3, 10)
assert sum(_weight.numel() for _weight in _teacher.parameters()) == 2_395_210
### END HIDDEN TESTS

# %% [markdown]
# ### 2.2 Train it
#
# Only the teacher sees jittered images: a digit moved, turned or slanted a little is the same digit, and the large network has
# room to learn that. That alone keeps it from memorising, so dropout needs to leave out only a quarter of the units. (The
# student gets the images as they are, with or without a teacher.)
#
# *About 170 seconds on one core for 15 epochs. Interrupt it whenever you like and run the cell again: it goes on where it
# stopped.*
#
# Expect on MNIST about 99.0 % on the validation images. The training loss in the bar stays higher than you may expect: there,
# dropout is on and the images are jittered.

# %%
epochs = 1 if FAST else 15
with seeded(0):
    teacher = TeacherNet(dropout=0.25)
print(f"{parameter_count(teacher):,} parameters, the student has {parameter_count(StudentNet()):,}")
train_jittered = data.train.batches(128, shuffle=True, augment=jittered)
teacher_history = fit(
    teacher,
    train_jittered,
    val,
    epochs,
    schedule=Cosine(1e-3, epochs * len(train_jittered), per="step"),
    checkpoint=None if FAST else f"models/teacher_{data.label.replace(' ', '_')}.pt",
)
teacher.cpu()
plots.plot_histories({"teacher": teacher_history})
plt.show()
print(f"teacher: {teacher_history.best_accuracy:.2%} on validation images")

# %% [markdown]
# ### 2.3 Spot the bug: asking the teacher
#
# The lecture's training loop for the student starts like this:
#
# ```python
#     for features, labels in tqdm(train_loader):
#         scores = student_model(features)
#         targets = teacher_model(features)
#         loss = my_loss(scores, targets, T = temp)
# ```
#
# The teacher was trained a moment ago, so it is still in training mode, and nobody told it to leave gradients alone. Look at
# what such a teacher answers when it is asked four times about the same image:

# %%
doubtful = predict_logits(teacher, data.val.images).softmax(1).amax(1).argmin()  # the image it is least sure of
teacher.train()
with seeded(1):
    answers = [teacher(data.val.images[doubtful][None]) for _ in range(4)]
teacher.eval()
for logits in answers:
    best = int(logits.argmax())
    print(
        f"It is a {best}, {logits.softmax(1).max().item():.0%} sure; carries a graph for gradients: {logits.requires_grad}"
    )

# %% [markdown]
# Four networks answered: dropout drew four different ones. And each answer drags a graph along, which costs memory and time
# and, if the teacher's weights ever reach the optimizer, changes the teacher.
#
# Write the question properly. Since the teacher does not change any more, it needs to be asked **once** per image, not once per
# epoch: its answers are kept beside the labels.

# %% task="teacher_logits" source="exercise_code.labs.distillation:teacher_logits"

# %% check="teacher_logits"
check("teacher_logits", teacher_logits)
### BEGIN HIDDEN TESTS
check("teacher_logits", teacher_logits, seed=702)
_net = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(4, 2)).train()
_images = torch.randn(5, 1, 2, 2, generator=torch.Generator().manual_seed(0))
assert torch.allclose(teacher_logits(_net, _images, 2), _net[2](_images.flatten(1)), atol=1e-6) and _net.training
### END HIDDEN TESTS

# %% [markdown]
# ### 2.4 Ask it more than once
#
# The teacher has learned that a digit moved, turned or slanted a little is the same digit. So ask about each image nine times:
# as it is, and about eight jittered views of it. What the nine answers have in common is what it sees in the digit; the rest is
# the accident of one view and goes away in the mean. All of it happens before the student starts and costs the student nothing:
# it still gets every image once per epoch, as it is.
#
# *About 40 seconds on one core.*

# %%
VIEWS = 1 if FAST else 8
views = torch.Generator().manual_seed(0)
known = teacher_logits(teacher, data.train.images)  # (N, 10): what the teacher says about every training image
for _ in tqdm(range(VIEWS), desc="views"):
    known += torch.cat([teacher_logits(teacher, jittered(piece, views)) for piece in data.train.images.split(PIECE)])
known /= 1 + VIEWS
print(
    tuple(known.shape),
    "| teacher right on",
    f"{(known.argmax(1) == data.train.labels).double().mean():.2%} of the training images",
)

# %% [markdown]
# ## 3 Soft targets
#
# A sure teacher says 99.9 % "7", and the rest is lost behind the comma. The temperature brings it back:
#
# $$p_i = \frac{e^{z_i / T}}{\sum_j e^{z_j / T}}$$
#
# At $T = 1$ this is the softmax you know. At a larger $T$ the order of the classes stays, but the small ones become visible.

# %% task="soft_targets" source="exercise_code.labs.distillation:soft_targets"

# %% check="soft_targets"
check("soft_targets", soft_targets)
### BEGIN HIDDEN TESTS
check("soft_targets", soft_targets, seed=703)
_p = soft_targets(torch.tensor([[math.log(16.0), 0.0]], dtype=torch.float64), 2.0)
assert torch.allclose(_p, torch.tensor([[0.8, 0.2]], dtype=torch.float64))
### END HIDDEN TESTS

# %% [markdown]
# Two images the teacher is sure of, two it is not. The green bar is the true class.

# %%
asked = teacher_logits(teacher, data.val.images)
certainty = soft_targets(asked).amax(dim=1)
order = certainty.argsort()
shown = torch.stack([order[-1], order[len(order) // 2], order[len(order) // 25], order[0]])
plots.plot_soft_targets(
    data.val.where(shown).pixels(),
    data.val.labels[shown],
    {T: soft_targets(asked[shown], T).numpy() for T in (1.0, 2.0, 5.0, 20.0)},
)
plt.show()

# %% [markdown]
# $T = 1$ says hardly more than the label, $T = 20$ hardly anything. In between lies what the teacher knows: *which* wrong
# answers are nearly right. Averaged over all images of a digit, that is a map of what looks alike. Nobody ever told the network
# that a 4 resembles a 9.

# %%
similar = torch.stack([soft_targets(asked[data.val.labels == digit], 4.0).mean(dim=0) for digit in range(10)])
plots.plot_similarity(similar.numpy(), classes, "What the teacher sees in each digit (T = 4)")
plt.show()

# %% [markdown]
# ## 4 Which loss?
#
# ### 4.1 The lecture's: mean square of the difference of probabilities
#
# ```python
# softmax_op = nn.Softmax(dim=1)
# mse_loss_fn = nn.MSELoss()
#
# def my_loss(scores, targets, T):
#     soft_pred = softmax_op(scores / T)
#     soft_targets = softmax_op(targets / T)
#     return mse_loss_fn(soft_pred, soft_targets)
# ```
#
# Natural, and it learns, with Adam. To see what is wrong with it, look at what the student *gets*: the gradient at its logits.
# All its weights learn only what arrives there. Write the probe.

# %% task="logit_gradient" source="exercise_code.labs.distillation:logit_gradient"

# %% check="logit_gradient"
check("logit_gradient", logit_gradient)
### BEGIN HIDDEN TESTS
check("logit_gradient", logit_gradient, seed=704)
_z = torch.tensor([[2.0, -1.0]])
assert (
    torch.allclose(logit_gradient(lambda z: (z**3).sum() / 2, _z), torch.tensor([[6.0, 1.5]])) and not _z.requires_grad
)
### END HIDDEN TESTS


# %%
def mse_of_probabilities(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """The lecture's loss."""
    return functional.mse_loss(soft_targets(student, temperature), soft_targets(teacher, temperature))


with seeded(0):
    fresh = StudentNet()
some = slice(0, 2000)
student_says, teacher_says, labels_say = (
    predict_logits(fresh, data.train.images[some]),
    known[some],
    data.train.labels[some],
)
for T in (1.0, 5.0, 20.0):
    size = logit_gradient(lambda z, T=T: mse_of_probabilities(z, teacher_says, T), student_says).abs().mean().item()
    print(f"MSE of probabilities, T = {T:4g}: mean |gradient| {size:.1e}")
size = logit_gradient(lambda z: functional.cross_entropy(z, labels_say), student_says).abs().mean().item()
print(f"cross entropy with the labels: mean |gradient| {size:.1e}")

# %% [markdown]
# **In words.** (a) Where do the powers of $T$ in the gradient of the lecture's loss come from? Follow the chain rule from the
# loss back to a logit. (b) Where else does this gradient vanish, at any $T$, although the student is badly wrong? (c) Why does
# the lecture's student learn all the same, and what happens to it as soon as a term for the hard labels is added? Five to eight
# sentences.

# %% [markdown] question="vanishing_gradient"
# (a) The argument of the softmax is z / T, which gives one factor 1 / T by the chain rule. At a high temperature all
# probabilities are near 1 / C and their differences are about (difference of logits) / (C T), which gives the second; so the
# gradient falls like 1 / T squared (the mean over N times C entries and the softmax derivative, about 1 / C, make it small from
# the start). (b) The derivative of the softmax has the factors q_i (1 - q_i) and q_i q_j: where the student is sure, rightly or
# wrongly, they are 0, and MSE does not cancel them as the logarithm in cross entropy and KL does. A sure and wrong student
# therefore gets no signal. (c) Adam divides by the size of the gradient, so its steps do not get smaller; plain SGD would need
# a learning rate about a thousand times as large. With a hard-label term the two gradients are added before Adam sees them, and
# the term that is a thousand times smaller does not count: the student then learns from the labels only. One point for each of
# (a), (b), (c).

# %% [markdown]
# ### 4.2 A loss that keeps its strength
#
# Compare the two distributions by their *logarithms*, and put the factor back that the temperature took away (Hinton et al.,
# 2015):
#
# $$L = \alpha\, T^2\; \mathrm{KL}(p \,\|\, q) + (1 - \alpha)\; \mathrm{CE}(\text{labels}), \qquad \mathrm{KL}(p \,\|\, q) = \sum_i p_i \,(\log p_i - \log q_i)$$
#
# with $p$ the teacher and $q$ the student, both softened by $T$. The gradient of the first part at a student's logit is
# $\alpha\, T\,(q_i - p_i)$ divided by the number of images: no factor that dies when the student is sure, and one $T$ against
# the $1/T$ that is hidden in $q - p$.
#
# **Spot the bug.** Four ways to write the soft part that all run, all learn a little, and are all wrong. Which mistake is in
# which?
#
# ```python
# A = nn.KLDivLoss()(log_softmax(s / T), softmax(t / T)) * T**2
# B = nn.KLDivLoss(reduction="batchmean")(softmax(s / T), softmax(t / T)) * T**2
# C = nn.KLDivLoss(reduction="batchmean")(log_softmax(t / T), softmax(s / T)) * T**2
# D = nn.KLDivLoss(reduction="batchmean")(log_softmax(s / T), softmax(t / T))
# ```
#
# Your version has to be free of all of them. The check tries the parts one by one and tells which is off.

# %% task="distillation_loss" source="exercise_code.labs.distillation:distillation_loss"

# %% check="distillation_loss"
check("distillation_loss", distillation_loss)
### BEGIN HIDDEN TESTS
check("distillation_loss", distillation_loss, seed=705)
_s, _t = torch.tensor([[0.0, 0.0]]), torch.tensor([[2 * math.log(3.0), 0.0]])
_kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
assert abs(distillation_loss(_s, _t, torch.tensor([0]), 2.0, 1.0).item() - 4 * _kl) < 1e-6
assert abs(distillation_loss(_s, _t, torch.tensor([0]), 2.0, 0.0).item() - math.log(2)) < 1e-6
### END HIDDEN TESTS

# %% [markdown]
# Now the picture: the signal at the logits of a fresh student, and of one that is half trained, against the temperature.

# %%
temperatures = (1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)
soft_losses: dict[str, Callable[[Tensor, float], Tensor]] = {
    "MSE of probabilities": lambda z, T: mse_of_probabilities(z, teacher_says, T),
    "KL": lambda z, T: distillation_loss(z, teacher_says, labels_say, T, 1.0) / T**2,
    "KL times T squared": lambda z, T: distillation_loss(z, teacher_says, labels_say, T, 1.0),
}
sizes = {
    name: [logit_gradient(lambda z, loss=loss, T=T: loss(z, T), student_says).abs().mean().item() for T in temperatures]
    for name, loss in soft_losses.items()
}
hard = logit_gradient(lambda z: functional.cross_entropy(z, labels_say), student_says).abs().mean().item()
plots.plot_gradient_sizes(temperatures, sizes, {"cross entropy with labels": hard})
plt.show()

# %% [markdown]
# KL times $T^2$ stays near the labels' gradient at every temperature, so the two can be mixed with an $\alpha$ that means something.
# MSE is fifty times smaller than the labels' at $T = 1$ and several thousand times at $T = 20$.
#
# Does it matter? Train a student with plain SGD, where the size of a gradient is the size of a step, for three epochs with each.
# *A few seconds.* Expect on MNIST about 24 % with MSE and 96 % with KL.


# %%
def train_student(
    loss: Any = functional.cross_entropy,
    *,
    seed: int,
    epochs: int,
    learning_rate: float,
    optimizer: type[torch.optim.Optimizer] = torch.optim.Adam,
    rows: Tensor | None = None,
    answers: Tensor | None = None,
    model: nn.Module | None = None,
    after_step: Any = None,
) -> tuple[nn.Module, Any]:
    """Train a student on train (or on some rows of it), with the teacher's answers beside the labels if they are given."""
    if model is None:
        with seeded(seed):
            model = StudentNet()
    part = data.train if rows is None else data.train.where(rows)
    beside = () if answers is None else (answers if rows is None else answers[rows],)
    train = Batches(part.images, part.labels, *beside, batch_size=128, shuffle=True, seed=seed)
    history = fit(
        model,
        train,
        val,
        epochs,
        optimizer=lambda weights: optimizer(weights, lr=learning_rate),
        schedule=Cosine(learning_rate, epochs * len(train), per="step"),
        loss=loss,
        seed=seed,
        progress=False,
        after_step=after_step,
    )
    return model.cpu(), history


short = 1 if FAST else 3
_, with_mse = train_student(
    lambda z, labels, t: mse_of_probabilities(z, t, 5.0),
    answers=known, seed=0, epochs=short, learning_rate=0.05, optimizer=torch.optim.SGD,
)  # fmt: skip
_, with_kl = train_student(
    lambda z, labels, t: distillation_loss(z, t, labels, 5.0, 1.0),
    answers=known, seed=0, epochs=short, learning_rate=0.05, optimizer=torch.optim.SGD,
)  # fmt: skip
print(
    f"SGD, T = 5, {short} epochs: MSE of probabilities {with_mse.best_accuracy:.1%}, KL times T squared {with_kl.best_accuracy:.1%}"
)

# %% [markdown]
# ## 5 Is the taught student better? A fair comparison
#
# ### 5.1 Spot the unfairness
#
# A report says: *"The student alone reached 97.1 % (5 epochs, the lecture's learning rate). Distilled for 20 epochs, with the
# best of six temperatures and three seeds by test accuracy, it reached 97.9 %: distillation removes 28 % of the errors."*
#
# **In words.** Name at least three reasons why this number does not show that distillation helps, and for each what to do
# instead.

# %% [markdown] question="unfair_comparison"
# (1) 5 epochs against 20: the student alone might have reached as much with 20; give both the same epochs (and the same images
# and batches). (2) Settings: six temperatures were tried for one side, none for the other; choose learning rate and epochs of
# the plain student with the same care and a similar budget. (3) Best of three seeds against one run: the best of three is
# higher by luck alone; same number of seeds for both, compare means (pairs of equal seeds). (4) Chosen by test accuracy: the
# test images have become validation images; choose on validation, look at test once. (5) No interval: 0.8 points on 10,000
# images with one run each may be chance; give the spread over the seeds and whether the interval holds 0. One point for each
# reason with its remedy, up to three.

# %% [markdown]
# ### 5.2 The interval
#
# Five seeds each, same seed meaning same first weights and same order of images. From each pair comes one number $r_i$, the
# share of the plain student's errors that the taught one avoids; from five numbers come a mean and an interval.

# %% task="error_reduction" source="exercise_code.labs.distillation:error_reduction"

# %% check="error_reduction"
check("error_reduction", error_reduction)
### BEGIN HIDDEN TESTS
check("error_reduction", error_reduction, seed=706)
_mean, _low, _high = error_reduction([10, 10, 10], [9, 8, 7])
assert abs(_mean - 0.2) < 1e-9 and abs((_high - _low) / 2 - 4.303 * 0.1 / math.sqrt(3)) < 1e-6
### END HIDDEN TESTS

# %% [markdown]
# ### 5.3 Five against five
#
# Both sides get the same images and the same number of epochs. Each has the learning rate that was best for *it* on the
# validation images: out of 0.001, 0.002 and 0.005 for the plain student; out of 0.002 to 0.01 for the taught one, with
# temperatures from 1 to 8 and $\alpha$ from 0.3 to 1. The taught side got more tries, some thirty against fewer than ten, and that
# alone can make it look a little better here; so the number to believe is the one on the test images, in section 8.
#
# *About two minutes on a quiet machine.* Expect on MNIST about 140 errors of 5,000 alone and 110 taught.


# %%
SEEDS = range(2 if FAST else 5)
EPOCHS = 1 if FAST else 30
TEMPERATURE, ALPHA = 2.5, 0.95


def taught(z: Tensor, labels: Tensor, answers: Tensor) -> Tensor:
    """The loss of the distilled students."""
    return distillation_loss(z, answers, labels, TEMPERATURE, ALPHA)


def train_pair(seed: int) -> tuple[nn.Module, nn.Module, Any, Any]:
    """The student alone and taught, from the same first weights, with their histories."""
    plain, plain_history = train_student(seed=seed, epochs=EPOCHS, learning_rate=2e-3)
    distilled, distilled_history = train_student(taught, answers=known, seed=seed, epochs=EPOCHS, learning_rate=4e-3)
    print(f"seed {seed}: plain {plain_history.best_accuracy:.2%}, distilled {distilled_history.best_accuracy:.2%}")
    return plain, distilled, plain_history, distilled_history


pairs = [train_pair(seed) for seed in SEEDS]

# %%
plots.plot_histories({"plain, seed 0": pairs[0][2], "distilled, seed 0": pairs[0][3]})
plt.show()


# %%
def errors(model: nn.Module, part: Any) -> int:
    """Number of wrong predictions."""
    return int((predict_logits(model, part.images).argmax(1) != part.labels).sum())


plain_errors = [errors(plain, data.val) for plain, *_ in pairs]
distilled_errors = [errors(distilled, data.val) for _, distilled, *_ in pairs]
plots.plot_pairs(plain_errors, distilled_errors, ("alone", "taught"), f"errors on {len(data.val):,} validation images")
plt.show()
mean, low, high = error_reduction(plain_errors, distilled_errors)
print(f"plain {np.mean(plain_errors):.1f} errors, distilled {np.mean(distilled_errors):.1f} of {len(data.val)}")
print(
    f"{mean:.0%} fewer errors, 95 % interval {low:.0%} to {high:.0%}: {'not luck' if low > 0 else 'this may be luck'}"
)

# %% [markdown]
# Look at the left curve as well: the plain student's loss goes to zero, it knows the training images by heart. The taught
# student never gets there; soft targets are too much to memorise with 39,760 weights, and that is a good part of their effect:
# they regularise. (Weight decay of 0.1 alone brings the *plain* student from 148 to about 137 errors in our trials.)
#
# Your turn, if you like: other temperatures, $\alpha$, more epochs. Choose by the validation images only.
#
# ### 5.4 The fewer images, the more a teacher is worth
#
# A label is one of ten; a row of soft targets is nine numbers. So each image teaches more, and that counts most where images
# are few. The same comparison with 2,000 and with 10,000 training images, three seeds each. *About 15 seconds.*
#
# Expect on MNIST: 20 to 30 % fewer errors in both, with intervals that are wide because three seeds are few.

# %%
for count in (100, 200) if FAST else (2_000, min(10_000, len(data.train.labels))):
    few = torch.arange(count)
    alone, helped = [], []
    for seed in range(2 if FAST else 3):
        setting = {"rows": few, "seed": seed, "epochs": 1 if FAST else 30}
        alone.append(errors(train_student(learning_rate=2e-3, **setting)[0], data.val))
        helped.append(errors(train_student(taught, answers=known, learning_rate=4e-3, **setting)[0], data.val))
    mean, low, high = error_reduction(alone, helped)
    print(
        f"{count:,} images: alone {alone}, taught {helped}: {mean:.0%} fewer errors, interval {low:.0%} to {high:.0%}"
    )

# %% [markdown]
# ## 6 Dark knowledge: a digit that the student never saw
#
# Take all 3s out of the student's training images. It never sees a 3, nor the label 3. But the teacher, asked about an 8 or a
# 5, says how much they look like a 3, and that is in the soft targets.
#
# The student then knows more about 3s than it says: it holds them for *impossible*, because in its world they never happen. One
# number can mend that, the bias of its output "3". Hinton and colleagues tuned it on the test images; we ask instead that 3 be
# answered as often as it occurs, one time in ten.

# %% task="bias_offset" source="exercise_code.labs.distillation:bias_offset"

# %% check="bias_offset"
check("bias_offset", bias_offset)
### BEGIN HIDDEN TESTS
check("bias_offset", bias_offset, seed=707)
assert abs(bias_offset(torch.tensor([[5.0, 0.0], [3.0, 0.0], [1.0, 0.0]]), 1, 1 / 3) - 2.0) < 1e-6
### END HIDDEN TESTS

# %% [markdown]
# *About 12 seconds.* At temperature 5, where the small probabilities count for more, and with the teacher's word alone
# ($\alpha = 1$).
#
# Expect on MNIST: the taught student recognises 60 to 70 % of the 3s at once and 90 % with the bias put right, the plain one
# 0 % and 36 %.

# %%
MISSING = 3
others = data.train.labels != MISSING
is_missing = data.val.labels == MISSING
share = is_missing.double().mean().item()
for name, loss, answers, rate in [
    ("plain", functional.cross_entropy, None, 2e-3),
    ("distilled", lambda z, labels, t: distillation_loss(z, t, labels, 5.0, 1.0), known, 5e-3),
]:
    student, _ = train_student(loss, answers=answers, rows=others, seed=0, epochs=1 if FAST else 15, learning_rate=rate)
    logits = predict_logits(student, data.val.images)
    before = (logits.argmax(1) == MISSING)[is_missing].double().mean()
    logits[:, MISSING] += bias_offset(logits, MISSING, share)
    right = logits.argmax(1) == data.val.labels
    print(
        f"{name:9}: {before:5.1%} of the {MISSING}s right; with the bias put right {right[is_missing].double().mean():.1%}, "
        f"all digits together {right.double().mean():.1%}"
    )

# %% [markdown]
# **In words.** The student never saw a 3. (a) What exactly did it learn about 3s, from which images? (b) Why does the plain
# student, with the same mended bias, do so much worse? (c) What would you expect if the missing digit were one that resembles
# no other?

# %% [markdown] question="dark_knowledge"
# (a) From 8s, 5s, 2s and 9s the teacher's small probabilities for "3" say which strokes make an image more or less like a 3,
# and the student's output for 3 was trained on these numbers as a regression: it points in the right direction of input space,
# only too low throughout, since no image there deserves a large value. (b) The plain student's labels never contain a 3, so its
# output is pushed down everywhere, whatever the image looks like; the direction that remains is that of "unlike everything I
# was trained on" at best. The bias can then move the output up for all images, but not choose the right ones. (c) Its soft
# targets would be near zero everywhere and say little about its form, so the student would recognise it much worse; it lives
# from resemblance. One point each.

# %% [markdown]
# ## 7 Smaller still
#
# ### 7.1 Fewer weights: pruning
#
# Nearly all of the student's weights, 39,200 of 39,760, are in its first layer, and most of them are small. Set the smallest to
# zero, train the rest on for a few epochs with the zeros held at zero, and cut again: several small cuts hurt less than one large
# one. (Cut within the first layer. One threshold for both layers would take away the last layer's few weights first.) Stored, a
# kept weight costs 4 bytes and 2 for its place.
#
# *About 6 seconds.*


# %%
def pruned(student: nn.Module, fraction: float, epochs: int) -> nn.Module:
    """A copy of the student without the smallest weights of its first layer, trained on with the teacher's help."""
    copy = StudentNet()
    copy.load_state_dict(student.state_dict())
    layer = copy.linear_1
    mask = magnitude_masks({"W": layer.weight.detach().numpy()}, fraction, names=["W"])["W"]
    keep = torch.from_numpy(mask)

    def hold(_: nn.Module) -> None:
        layer.weight.mul_(keep.to(layer.weight.device))

    with torch.no_grad():
        hold(copy)
    train_student(taught, answers=known, seed=0, epochs=epochs, learning_rate=2e-3, model=copy, after_step=hold)
    return copy


teacher_bytes, student_bytes = 4 * parameter_count(teacher), 4 * parameter_count(StudentNet())
rows = [
    ("teacher", teacher_bytes, accuracy(teacher, val)),
    ("student alone", student_bytes, accuracy(pairs[0][0], val)),
    ("student, taught", student_bytes, accuracy(pairs[0][1], val)),
]
lighter = pairs[0][1]
for fraction in (0.5, 0.75, 0.9, 0.95):
    lighter = pruned(lighter, fraction, 1 if FAST else 4)
    left = sum(int((weight != 0).sum()) for weight in lighter.parameters())
    rows.append((f"{fraction:.0%} pruned", 6 * left, accuracy(lighter, val)))
    print(f"{fraction:.0%} pruned: {left:,} weights left, validation {rows[-1][2]:.2%}")

# %% [markdown]
# ### 7.2 Smaller weights: one bit each
#
# A *binary network* computes with the signs of its weights only (times one number per unit). The difficulty is training: the
# derivative of the sign is 0 wherever it exists, so no weight ever moves. The way out is a lie that works: compute with the
# sign, but hand the gradient through as if the sign were not there. The real weight moves a little with every step, and now and
# then crosses 0.
#
# In torch such a lie is a class with two static methods. (Our NumPy `BinaryNet` in `exercise_code.networks` does the same by
# hand.)

# %% task="straight_through" source="exercise_code.labs.distillation:SignStraightThrough"

# %% check="straight_through"
check("straight_through", SignStraightThrough)
### BEGIN HIDDEN TESTS
check("straight_through", SignStraightThrough, seed=708)
_w = torch.tensor([[0.5, -3.0]], requires_grad=True)
(SignStraightThrough.apply(_w) * torch.tensor([[5.0, 7.0]])).sum().backward()
assert _w.grad.tolist() == [[5.0, 0.0]]
### END HIDDEN TESTS

# %% [markdown]
# A binary student, alone and taught. *About 15 seconds.*

# %%
for name, loss, answers in [("alone", functional.cross_entropy, None), ("taught", taught, known)]:
    with seeded(0):
        model = BinaryStudent()
    train_student(loss, answers=answers, seed=0, epochs=1 if FAST else 15, learning_rate=5e-3, model=model)
    bits = sum(weight.numel() for weight in model.parameters() if weight.ndim == 2 and weight.shape[1] > 1)
    real = parameter_count(model) - bits
    rows.append((f"binary, {name}", bits / 8 + 4 * real, accuracy(model, val)))
    print(f"binary student {name}: {bits:,} bits and {real} numbers, validation {rows[-1][2]:.2%}")
plots.plot_sizes(rows)
plt.show()

# %% [markdown]
# Down is better, left is smaller. Expect on MNIST: a quarter of the first layer's weights does as well as all of them, and a
# twentieth loses about one point. One bit per weight loses two; there the teacher helps little or not at all, the labels alone
# already fill so few bits.
#
# ## 8 Once: the test images
#
# All choices are made. The official test images, once, for all five pairs.

# %%
test = data.test()
test_plain = [errors(plain, test) for plain, *_ in pairs]
test_distilled = [errors(distilled, test) for _, distilled, *_ in pairs]
mean, low, high = error_reduction(test_plain, test_distilled)
print(f"teacher {errors(teacher, test)} errors of {len(test):,}; plain {test_plain}; distilled {test_distilled}")
print(f"{mean:.0%} fewer errors than the same student alone, 95 % interval {low:.0%} to {high:.0%}")

# %% [markdown]
# Measured on MNIST with one thread: 261 errors of 10,000 alone, 193 taught, the teacher 79: **26 % fewer errors, interval 18 % to
# 33 %**. The same seeds on two threads, whose sums round differently, gave 21 % (13 % to 29 %). So it goes with five seeds: that is
# what the interval says.
#
# And to be fair to the student alone: jittered images help it as much as the teacher does (193 errors, mean of three seeds), and a
# student that gets both does only a little better (181 to 188). Much of what the teacher passed on is what it had learned from
# jittered images.
#
# ## 9 Hand it in
#
# Two files: `plain.onnx`, the student alone, and `distilled.onnx`, the taught one, **at most 40,000 parameters each**, counted
# in the file itself (the network's 39,760 and the two of the normalisation). Hand in the pair that you find most honest: best
# against best by validation accuracy. Your plain student should not be bad on purpose: the board ranks by the distilled one,
# and shows the plain one and the gain with its interval beside it.
#
# **Save the notebook first.** The next cell exports both, checks the files against the networks, and writes `submission.zip`.

# %%
best_plain = pairs[int(np.argmin(plain_errors))][0]
best_distilled = pairs[int(np.argmin(distilled_errors))][1]
if not FAST:
    submit(
        "07_distillation",
        models={"distilled.onnx": best_distilled, "plain.onnx": best_plain},
        claimed={"distilled.onnx": accuracy(best_distilled, val), "plain.onnx": accuracy(best_plain, val)},
        input_shape=(1, 28, 28),
        transform=data.transform,
        data=data.label,
    )

# %% [markdown]
# ## How this is graded
#
# | task | points |
# |---|---|
# | `teacher_net`, `teacher_logits`: spot the bug | 2 + 2 |
# | `soft_targets` | 1 |
# | `logit_gradient` | 2 |
# | `distillation_loss` | 3 |
# | `error_reduction` | 2 |
# | `bias_offset` | 2 |
# | `straight_through` | 2 |
# | three questions in words, read by a person | 3 + 3 + 3 |
# | **together** | **25** |
#
# The grader runs your notebook on a small stand-in, with the checks you see and a few more inputs of the same kind. Training
# results earn no points there; your two students are scored apart, on hidden images: **96 % correct passes** (the distilled
# one). A file with more than 40,000 parameters is refused.
#
# ## Take away
#
# - A teacher's probabilities say which wrong answers are nearly right. The temperature makes that visible, $T^2$ keeps its
# gradient alive.
# - Ask the teacher in evaluation mode and without gradients, before the student starts and not again in every epoch.
# - MSE of probabilities loses its gradient to $T$ and to sure students; compare logarithms.
# - A gain is a gain over the *same* student with the same care, over several seeds, with an interval.
# - Pruning and one-bit weights are other roads to small models, and they combine with a teacher.
#
# **Next:** exercise 08 looks into batch norm, and then at bean leaves. **Further reading:** Hinton, Vinyals and Dean (2015),
# *Distilling the knowledge in a neural network*; Ba and Caruana (2014), *Do deep nets really need to be deep?*; Rastegari et
# al. (2016), *XNOR-Net*; Han et al. (2015), *Learning both weights and connections for efficient neural networks*.
