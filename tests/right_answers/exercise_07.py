"""Honest variants in exercise 07."""

import math
import statistics

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from exercise_code.labs.distillation import T_QUANTILE, SignStraightThrough, TeacherNet
from exercise_code.labs.evaluation import evaluating
from tests.catalogue import right

# --- teacher_net

right("teacher_net", "the reference")(TeacherNet)


@right("teacher_net", "as one Sequential")
class Chain(nn.Module):
    def __init__(self, dropout=0.5):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(784, 1200), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(1200, 1200), nn.ReLU(), nn.Dropout(dropout), nn.Linear(1200, 10),
        )  # fmt: skip

    def forward(self, images):
        return self.layers(images)


@right("teacher_net", "functional calls, dropout before the ReLU")
class Functional(nn.Module):
    def __init__(self, dropout=0.5):
        super().__init__()
        self.p = dropout
        self.a, self.b, self.c = nn.Linear(784, 1200), nn.Linear(1200, 1200), nn.Linear(1200, 10)

    def forward(self, images):
        x = F.relu(F.dropout(self.a(images.reshape(len(images), -1)), self.p, self.training))
        return self.c(F.relu(F.dropout(self.b(x), self.p, self.training)))


@right("teacher_net", "two dropout layers and names of its own, as on the slide")
class Two(nn.Module):
    def __init__(self, dropout=0.5):
        super(Two, self).__init__()  # noqa: UP008 -- the lecture's spelling
        self.linear_1 = nn.Linear(784, 1200)
        self.dropout_1 = nn.Dropout(p=dropout)
        self.linear_2 = nn.Linear(1200, 1200)
        self.dropout_2 = nn.Dropout(p=dropout)
        self.linear_3 = nn.Linear(1200, 10)

    def forward(self, input):
        scores = self.dropout_1(self.linear_1(input.view(-1, 784)).relu())
        scores = self.dropout_2(torch.clamp(self.linear_2(scores), min=0))
        return self.linear_3(scores)


@right("teacher_net", "a ModuleList in a loop")
class Loop(nn.Module):
    def __init__(self, dropout=0.5):
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(784, 1200), nn.Linear(1200, 1200)])
        self.out, self.drop = nn.Linear(1200, 10), nn.Dropout(dropout)
        for layer in self.hidden:
            nn.init.kaiming_normal_(layer.weight)

    def forward(self, images):
        x = images.flatten(1)
        for layer in self.hidden:
            x = self.drop(F.relu(layer(x)))
        return self.out(x)


# --- soft_targets


@right("soft_targets", "by hand, the largest taken off first")
def by_hand(logits, temperature=1.0):
    z = logits / temperature
    e = torch.exp(z - z.max(dim=1, keepdim=True).values)
    return e / e.sum(dim=1, keepdim=True)


@right("soft_targets", "row by row")
def rows(logits, temperature=1.0):
    return torch.stack([torch.softmax(row / temperature, dim=0) for row in logits])


right("soft_targets", "nn.Softmax")(lambda logits, temperature=1: nn.Softmax(dim=-1)(logits / temperature))
right("soft_targets", "exp of log_softmax")(
    lambda logits, temperature=1.0: F.log_softmax(logits / temperature, 1).exp()
)
right("soft_targets", "logsumexp")(
    lambda z, temperature=1.0: (z / temperature - torch.logsumexp(z / temperature, 1, keepdim=True)).exp()
)

# --- teacher_logits


@right("teacher_logits", "inference by index, own tensor filled")
def filled(teacher, images, batch_size=100):
    mode = teacher.training
    teacher.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, len(images), batch_size):
            parts.append(teacher(images[start : start + batch_size]))
    if mode:
        teacher.train()
    return torch.vstack(parts)


@right("teacher_logits", "as a decorator")
@torch.no_grad()
def decorated(teacher, images, batch_size=64):
    mode = teacher.training
    out = torch.cat([teacher.eval()(piece) for piece in torch.split(images, batch_size)])
    teacher.train(mode)
    return out


@right("teacher_logits", "with try and finally")
def careful(teacher, images, batch_size=500):
    mode = teacher.training
    try:
        teacher.eval()
        with torch.inference_mode():
            return torch.cat([teacher(piece) for piece in images.split(batch_size)]).clone()
    finally:
        teacher.train(mode)


@right("teacher_logits", "with the course's evaluating")
def evaluated(teacher, images, batch_size=500):
    with evaluating(teacher):
        return torch.cat([teacher(piece) for piece in images.split(batch_size)])


@right("teacher_logits", "torch's DataLoader")
def loader(teacher, images, batch_size=1000):
    mode = teacher.training
    teacher.eval()
    with torch.no_grad():
        out = torch.cat([teacher(piece) for piece in torch.utils.data.DataLoader(images, batch_size=batch_size)])
    teacher.train(mode)
    return out


# --- logit_gradient


@right("logit_gradient", "backward on a copy")
def backward(loss, logits):
    copy = logits.detach().clone()
    copy.requires_grad = True
    loss(copy).backward()
    return copy.grad


@right("logit_gradient", "a tensor made from the numbers")
def from_numbers(loss, logits):
    copy = torch.tensor(logits.tolist(), dtype=logits.dtype, requires_grad=True)
    loss(copy).backward()
    return copy.grad.clone()


right("logit_gradient", "torch.func.grad")(lambda loss, logits: torch.func.grad(loss)(logits.detach()))
right("logit_gradient", "a Parameter")(
    lambda loss, logits: torch.autograd.grad(loss(p := nn.Parameter(logits.detach().clone())), p)[0]
)
right("logit_gradient", "the Jacobian of one number")(
    lambda loss, logits: torch.autograd.functional.jacobian(loss, logits.detach().clone())
)

# --- distillation_loss


def _kd(soft):
    def loss(student, teacher, labels, temperature=2.0, alpha=0.9):
        return alpha * temperature**2 * soft(student / temperature, teacher.detach() / temperature) + (
            1 - alpha
        ) * F.cross_entropy(student, labels)

    return loss


right("distillation_loss", "kl_div with probabilities as the target")(
    _kd(lambda s, t: F.kl_div(s.log_softmax(1), t.softmax(1), reduction="batchmean"))
)
right("distillation_loss", "nn.KLDivLoss")(
    _kd(lambda s, t: nn.KLDivLoss(reduction="batchmean", log_target=True)(s.log_softmax(1), t.log_softmax(1)))
)
right("distillation_loss", "written out")(
    _kd(lambda s, t: (t.softmax(1) * (t.log_softmax(1) - s.log_softmax(1))).sum(dim=1).mean())
)
right("distillation_loss", "sum over everything, then divided by the images")(
    _kd(lambda s, t: F.kl_div(s.log_softmax(1), t.softmax(1), reduction="sum") / len(s))
)
right("distillation_loss", "cross entropy with soft targets less their entropy")(
    _kd(lambda s, t: F.cross_entropy(s, t.softmax(1)) - F.cross_entropy(t, t.softmax(1)))
)


@right("distillation_loss", "teacher's part without gradients, labels picked by gather")
def picked(student, teacher, labels, temperature=2, alpha=0.9):
    with torch.no_grad():
        log_p = F.log_softmax(teacher / temperature, dim=-1)
    log_q = F.log_softmax(student / temperature, dim=-1)
    soft = (log_p.exp() * (log_p - log_q)).sum(-1) * temperature * temperature
    hard = -F.log_softmax(student, -1).gather(1, labels[:, None])[:, 0]
    return (alpha * soft + (1 - alpha) * hard).mean()


@right("distillation_loss", "image by image")
def one_by_one(student, teacher, labels, temperature=2.0, alpha=0.9):
    total = 0
    for s, t, y in zip(student, teacher.detach(), labels, strict=True):
        kl = F.kl_div(F.log_softmax(s / temperature, 0), F.softmax(t / temperature, 0), reduction="sum")
        total = total + alpha * temperature**2 * kl + (1 - alpha) * F.cross_entropy(s, y)
    return total / len(student)


# --- error_reduction


def _checked(plain, distilled):
    if len(plain) != len(distilled):
        raise ValueError("not the same length")
    if not 2 <= len(plain) <= 21:
        raise ValueError("too few or too many")


@right("error_reduction", "statistics")
def with_statistics(plain, distilled):
    _checked(plain, distilled)
    r = [(p - d) / p for p, d in zip(plain, distilled, strict=True)]
    half = T_QUANTILE[len(r) - 1] * statistics.stdev(r) / len(r) ** 0.5
    return statistics.mean(r), statistics.mean(r) - half, statistics.mean(r) + half


@right("error_reduction", "NumPy")
def with_numpy(plain, distilled):
    _checked(plain, distilled)
    r = 1 - np.array(distilled) / np.array(plain)
    half = T_QUANTILE[len(r) - 1] * r.std(ddof=1) / np.sqrt(len(r))
    return r.mean(), r.mean() - half, r.mean() + half


@right("error_reduction", "torch, plain floats out")
def with_torch(plain, distilled):
    _checked(plain, distilled)
    r = 1 - torch.tensor(distilled, dtype=torch.float64) / torch.tensor(plain, dtype=torch.float64)
    half = T_QUANTILE[len(r) - 1] * r.std() / math.sqrt(len(r))
    return float(r.mean()), float(r.mean() - half), float(r.mean() + half)


@right("error_reduction", "a list, loops")
def loops(plain, distilled):
    _checked(plain, distilled)
    n, total, squares = len(plain), 0.0, 0.0
    for p, d in zip(plain, distilled, strict=True):
        total += 1 - d / p
    for p, d in zip(plain, distilled, strict=True):
        squares += (1 - d / p - total / n) ** 2
    half = T_QUANTILE[n - 1] * math.sqrt(squares / (n - 1) / n)
    return [total / n, total / n - half, total / n + half]


@right("error_reduction", "refuses by the table and by strict")
def by_table(plain, distilled):
    if len(plain) - 1 not in T_QUANTILE:
        raise ValueError(f"{len(plain)} runs")
    r = np.array([1 - d / p for p, d in zip(plain, distilled, strict=True)])
    error = np.std(r, ddof=1) / np.sqrt(r.size)
    return tuple(float(np.mean(r) + sign * T_QUANTILE[r.size - 1] * error) for sign in (0, -1, 1))


# --- bias_offset


def _wanted(logits, share):
    k = round(share * len(logits))
    if k < 1 or k >= len(logits):
        raise ValueError("no row, or all of them")
    return k


@right("bias_offset", "the column masked out, topk")
def with_topk(logits, digit, share):
    k = _wanted(logits, share)
    others = logits.clone()
    others[:, digit] = -torch.inf
    lacks = others.max(1).values - logits[:, digit]
    return torch.topk(lacks, k + 1, largest=False).values[-2:].mean().item()


@right("bias_offset", "plain Python")
def plain_python(logits, digit, share):
    k = _wanted(logits, share)
    lacks = sorted(max(v for i, v in enumerate(row) if i != digit) - row[digit] for row in logits.tolist())
    return (lacks[k - 1] + lacks[k]) / 2


@right("bias_offset", "NumPy")
def with_numpy_offset(logits, digit, share):
    k = _wanted(logits, share)
    z = logits.numpy()
    lacks = np.sort(np.delete(z, digit, axis=1).max(axis=1) - z[:, digit])
    return np.mean(lacks[k - 1 : k + 1])


@right("bias_offset", "kthvalue")
def with_kthvalue(logits, digit, share):
    k = _wanted(logits, share)
    keep = [c for c in range(logits.shape[1]) if c != digit]
    lacks = logits[:, keep].amax(dim=1) - logits[:, digit]
    return 0.5 * float(lacks.kthvalue(k).values + lacks.kthvalue(k + 1).values)


@right("bias_offset", "a masked fill, argsort")
def with_argsort(logits, digit, share):
    k = _wanted(logits, share)
    mask = torch.zeros_like(logits, dtype=torch.bool)
    mask[:, digit] = True
    lacks = logits.masked_fill(mask, -1e30).amax(1) - logits[:, digit]
    order = lacks.argsort()
    return float((lacks[order[k - 1]] + lacks[order[k]]) / 2)


# --- straight_through

right("straight_through", "the reference")(SignStraightThrough)


def _function(forward, backward):
    return type(
        "Sign", (torch.autograd.Function,), {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    )


def _keeping(values):
    def forward(ctx, weights):
        ctx.save_for_backward(weights)
        return values(weights)

    return forward


def _cut(ctx, grad):
    grad = grad.clone()
    grad[ctx.saved_tensors[0].abs() > 1] = 0
    return grad


right("straight_through", "sign with 0 repaired, a copy cut")(
    _function(_keeping(lambda w: torch.where(w == 0, torch.ones_like(w), w.sign())), _cut)
)
right("straight_through", "two times the comparison minus one, where")(
    _function(
        _keeping(lambda w: 2 * (w >= 0).to(w.dtype) - 1),
        lambda ctx, grad: torch.where(ctx.saved_tensors[0].abs() <= 1, grad, 0.0),
    )
)
right("straight_through", "the mask kept instead of the weights")(
    _function(
        lambda ctx, w: (ctx.save_for_backward((w >= -1) & (w <= 1)), torch.ones_like(w).masked_fill(w < 0, -1))[1],
        lambda ctx, *grads: grads[0] * ctx.saved_tensors[0],
    )
)
right("straight_through", "NumPy inside forward")(
    _function(
        _keeping(lambda w: torch.from_numpy(np.where(w.detach().numpy() >= 0, 1, -1)).to(w)),
        lambda ctx, grad: grad * ctx.saved_tensors[0].ge(-1) * ctx.saved_tensors[0].le(1),
    )
)
