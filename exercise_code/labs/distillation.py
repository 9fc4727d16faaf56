"""Knowledge distillation (exercise 07): a small network learns from a large one what it knows beyond the labels.

Shapes: N images, C classes; logits and probabilities are (N, C) float tensors, labels (N,) int64.  Hinton, Vinyals and
Dean (2015), *Distilling the knowledge in a neural network*.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from exercise_code.labs.evaluation import PIECE

# 97.5 % quantile of Student's t by degrees of freedom: half the width of a 95 % interval in standard errors
T_QUANTILE = {
    1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228,
    11: 2.201, 12: 2.179, 13: 2.160, 14: 2.145, 15: 2.131, 16: 2.120, 17: 2.110, 18: 2.101, 19: 2.093, 20: 2.086,
}  # fmt: skip


class TeacherNet(nn.Module):
    """The teacher: 784-1200-1200-10, ReLU and dropout after **each** of the two hidden layers; 2,395,210 parameters.

    `forward` takes images (N, 1, 28, 28) as they come from the loader, or any (N, ...) with 784 values each, and returns
    logits (N, 10).

    Args:
        dropout: probability that a hidden unit is left out in training.

    >>> TeacherNet()(torch.zeros(3, 1, 28, 28)).shape
    torch.Size([3, 10])
    """

    def __init__(self, dropout: float = 0.5):
        super().__init__()
        ### BEGIN SOLUTION 07_distillation
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs in (784, 1200):
            layers += [nn.Linear(inputs, 1200), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(1200, 10))
        ### END SOLUTION

    def forward(self, images: Tensor) -> Tensor:
        ### BEGIN SOLUTION 07_distillation
        return self.layers(images)
        ### END SOLUTION


class StudentNet(nn.Module):
    """The student: 784-50-10 with ReLU, 39,760 parameters; a sixtieth of the teacher.

    >>> StudentNet()(torch.zeros(3, 1, 28, 28)).shape
    torch.Size([3, 10])
    """

    def __init__(self) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(784, 50)
        self.linear_2 = nn.Linear(50, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear_2(functional.relu(self.linear_1(images.flatten(start_dim=1))))


def soft_targets(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Turn logits (N, C) into probabilities, softened by the temperature T: softmax(logits / T) in each row.

    T = 1 is the usual softmax; a larger T brings the classes closer together and keeps their order.

    Returns:
        (N, C), positive, each row adding up to 1, in the dtype of logits; finite for logits of any size.

    >>> logits = torch.tensor([[math.log(4), 0.0]])
    >>> soft_targets(logits), soft_targets(logits, 2.0)
    (tensor([[0.8000, 0.2000]]), tensor([[0.6667, 0.3333]]))
    """
    ### BEGIN SOLUTION 07_distillation
    return functional.softmax(logits / temperature, dim=1)
    ### END SOLUTION


def teacher_logits(teacher: nn.Module, images: Tensor, batch_size: int = PIECE) -> Tensor:
    """Ask the teacher about every image: logits (N, C) in the order of images.

    The teacher answers as it would at test time (no dropout), keeps no graph for gradients, and is left in the mode, training
    or evaluation, in which it came.

    Args:
        images: (N, ...); handed to the teacher in pieces of batch_size, the last one smaller.

    >>> teacher = nn.Dropout(0.5)
    >>> teacher_logits(teacher, torch.ones(3, 2), batch_size=2).tolist(), teacher.training
    ([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]], True)
    """
    ### BEGIN SOLUTION 07_distillation
    was_training = teacher.training
    teacher.eval()
    with torch.no_grad():
        answers = [teacher(piece) for piece in images.split(batch_size)]
    teacher.train(was_training)
    return torch.cat(answers)
    ### END SOLUTION


def logit_gradient(loss: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    """Return the gradient of `loss(logits)`, one number, with respect to logits (N, C).

    It is the signal that the student gets: all its weights learn only what arrives here.

    Args:
        loss: takes logits (N, C) and returns a tensor with one number.
        logits: (N, C); neither its values nor its `requires_grad` and `grad` are changed.

    Returns:
        (N, C), without a graph of its own.

    >>> logit_gradient(lambda logits: (logits**2).sum(), torch.tensor([[1.0, -2.0]]))
    tensor([[ 2., -4.]])
    """
    ### BEGIN SOLUTION 07_distillation
    leaf = logits.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    return gradient
    ### END SOLUTION


def distillation_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: float = 2.0, alpha: float = 0.9
) -> Tensor:
    """Hinton's loss: `alpha * T**2 * KL(p || q) + (1 - alpha) * CE(student, labels)`, a mean over the N images.

    p = softmax(teacher / T) and q = softmax(student / T); KL(p || q) = sum over classes of
    p * (log p - log q), so the teacher is what the student is compared with.  The cross entropy is that of
    the plain logits, at temperature 1.

    Args:
        student, teacher: logits (N, C).  No gradient flows to the teacher's.
        labels: (N,) int64.
        temperature: T > 0.
        alpha: weight of the soft targets, in [0, 1].

    Returns:
        One number, >= 0; finite for logits of any size.

    >>> even, sure, labels = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3), 0.0]]), torch.tensor([0])
    >>> distillation_loss(even, even, labels, alpha=0.5)  # log(2) / 2
    tensor(0.3466)
    >>> distillation_loss(even, sure, labels, temperature=1.0, alpha=1.0)
    tensor(0.1308)
    """
    ### BEGIN SOLUTION 07_distillation
    log_p = functional.log_softmax(teacher.detach() / temperature, dim=1)
    log_q = functional.log_softmax(student / temperature, dim=1)
    soft = functional.kl_div(log_q, log_p, reduction="batchmean", log_target=True) * temperature**2
    hard = functional.cross_entropy(student, labels)
    return alpha * soft + (1 - alpha) * hard
    ### END SOLUTION


def error_reduction(plain: Sequence[float], distilled: Sequence[float]) -> tuple[float, float, float]:
    """Compare paired runs: which share of the plain student's errors does the distilled one avoid?

    Run i of both has the same seed.  With r_i = 1 - distilled_i / plain_i, the mean of the r_i and its
    95 % interval `mean -/+ t * s / sqrt(n)`, where s is the standard deviation of the n values (with n - 1
    below the fraction bar) and t is T_QUANTILE[n - 1].  An interval that holds 0 says: this may be luck.

    Args:
        plain, distilled: errors (counts or rates, plain ones > 0) of the runs with seed 0, 1, ...

    Returns:
        (mean, low, high) as floats; 0.2 means a fifth fewer errors.

    Raises:
        ValueError: the two are not of the same length, or there are fewer than 2 runs or more than 21.

    >>> [round(value, 3) for value in error_reduction([100, 100], [90, 70])]  # two runs say little
    [0.2, -1.071, 1.471]
    """
    ### BEGIN SOLUTION 07_distillation
    n = len(plain)
    if len(distilled) != n or n - 1 not in T_QUANTILE:
        raise ValueError(f"expected 2 to 21 pairs of runs, got {n} plain and {len(distilled)} distilled ones")
    reductions = [1 - after / before for before, after in zip(plain, distilled, strict=True)]
    mean = sum(reductions) / n
    spread = math.sqrt(sum((value - mean) ** 2 for value in reductions) / (n - 1))
    margin = T_QUANTILE[n - 1] * spread / math.sqrt(n)
    return mean, mean - margin, mean + margin
    ### END SOLUTION


def bias_offset(logits: Tensor, digit: int, share: float) -> float:
    """Return what to add to one class's logit so that the network answers it as often as it should.

    A student that never met a digit knows what it looks like, but holds it for impossible: its bias is too
    low.  After adding the offset to column `digit`, exactly `round(share * N)` rows have their largest logit
    there; the offset lies halfway between the smallest one that is enough for that many rows and the
    smallest one that would be enough for one more.

    Args:
        logits: (N, C) on images that count as representative; not changed.
        digit: class 0..C-1.
        share: wanted fraction of the rows, such that 1 <= round(share * N) <= N - 1.

    Raises:
        ValueError: a share that leaves no row, or all of them.

    >>> logits = torch.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 0.0], [7.0, 0.0]])
    >>> bias_offset(logits, digit=1, share=0.5)
    4.0
    """
    ### BEGIN SOLUTION 07_distillation
    wanted = round(share * len(logits))
    if not 1 <= wanted < len(logits):
        raise ValueError(f"expected a share that gives 1 to {len(logits) - 1} rows, got {share} of {len(logits)}")
    others = torch.cat([logits[:, :digit], logits[:, digit + 1 :]], dim=1).amax(dim=1)
    missing = (others - logits[:, digit]).sort().values  # what each row lacks, the nearest to winning first
    return float(missing[wanted - 1] + missing[wanted]) / 2
    ### END SOLUTION


class SignStraightThrough(torch.autograd.Function):
    """The sign of a weight with a gradient that pretends not to notice (Bengio et al. 2013; lecture 001, binary networks).

    Use it as `SignStraightThrough.apply(weights)`.  Forward: +1 where weights >= 0, else -1.  Backward: the
    derivative of the sign is 0 almost everywhere, which would stop all learning; so hand the gradient
    through unchanged where the weight lies in [-1, 1], and 0 elsewhere, where the sign is settled.

    >>> weights = torch.tensor([-2.0, 0.5], requires_grad=True)
    >>> signs = SignStraightThrough.apply(weights)
    >>> signs.sum().backward()
    >>> signs.tolist(), weights.grad.tolist()
    ([-1.0, 1.0], [0.0, 1.0])
    """

    @staticmethod
    def forward(ctx: Any, weights: Tensor) -> Tensor:
        """Return +1 and -1 of the shape and dtype of weights; keep in ctx what backward needs."""
        ### BEGIN SOLUTION 07_distillation
        ctx.save_for_backward(weights)
        return torch.where(weights >= 0, 1.0, -1.0).to(weights.dtype)
        ### END SOLUTION

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> Tensor:
        """Return dL/dweights; outputs is a tuple with one tensor, dL/dsigns."""
        ### BEGIN SOLUTION 07_distillation
        (weights,) = ctx.saved_tensors
        return outputs[0] * (weights.abs() <= 1)
        ### END SOLUTION


class BinaryLinear(nn.Module):
    """A linear layer that computes with the signs of its weights, times one positive number per output.

    Real weights stand behind the signs and are what the optimizer moves; a prediction needs one bit per weight.

    Args:
        inputs, outputs: features in and out.
        sign: gives the signs and hands gradients through; None is `SignStraightThrough.apply`.

    >>> layer = BinaryLinear(4, 2, sign=torch.sign)
    >>> layer(torch.eye(4)).shape
    torch.Size([4, 2])
    """

    def __init__(self, inputs: int, outputs: int, sign: Callable[[Tensor], Tensor] | None = None):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-0.1, 0.1))
        self.scale = nn.Parameter(torch.full((outputs, 1), 1 / math.sqrt(inputs)))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.sign = sign

    def forward(self, x: Tensor) -> Tensor:
        sign = SignStraightThrough.apply if self.sign is None else self.sign
        return functional.linear(x, sign(self.weight) * self.scale, self.bias)


class BinaryStudent(nn.Module):
    """784-50-10 with one bit per weight: about 5 kB instead of the student's 159.

    >>> BinaryStudent()(torch.zeros(3, 1, 28, 28)).shape
    torch.Size([3, 10])
    """

    def __init__(self) -> None:
        super().__init__()
        self.linear_1 = BinaryLinear(784, 50)
        self.norm = nn.BatchNorm1d(50)
        self.linear_2 = BinaryLinear(50, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear_2(functional.relu(self.norm(self.linear_1(images.flatten(start_dim=1)))))
