"""Typical mistakes in exercise 07."""

import math
import statistics

import torch
from torch import nn
from torch.nn import functional as F

from exercise_code.labs.distillation import (
    T_QUANTILE,
    SignStraightThrough,
    bias_offset,
    distillation_loss,
    error_reduction,
    logit_gradient,
    soft_targets,
    teacher_logits,
)
from tests.catalogue import wrong

# --- teacher_net: the lecture's class and its relatives


class Teacher(nn.Module):
    """As the slide meant it."""

    def __init__(self, dropout=0.5):
        super().__init__()
        self.linear_1, self.linear_2, self.linear_3 = nn.Linear(784, 1200), nn.Linear(1200, 1200), nn.Linear(1200, 10)
        self.relu, self.dropout = nn.ReLU(), nn.Dropout(p=dropout)

    def forward(self, images):
        return self.linear_3(_hidden(self, _hidden(self, images.flatten(1), 1), 2))


class Lecture(Teacher):
    def forward(self, images):
        hidden = self.relu(self.linear_1(images.flatten(1)))
        return self.linear_3(self.dropout(self.relu(self.linear_2(hidden))))


wrong("teacher_net", "dropout after the second hidden layer only, as on the slide", says="layer 1 .*units kept")(
    Lecture
)


@wrong("teacher_net", "images not flattened, as on the slide", says="your code stopped|Flatten")
class NotFlat(Teacher):
    def forward(self, images):
        hidden = self.dropout(self.relu(self.linear_1(images)))
        return self.linear_3(self.dropout(self.relu(self.linear_2(hidden))))


@wrong("teacher_net", "flattens the batch axis as well", says="stopped|Flatten")
class AllFlat(Teacher):
    def forward(self, images):
        return super().forward(images.flatten()[None])


def _teacher(forward):
    return type("Teacher", (Teacher,), {"forward": forward})


def _hidden(self, images, number):
    layer = (self.linear_1, self.linear_2)[number - 1]
    return self.dropout(self.relu(layer(images)))


for mistake, says, forward in [
    (
        "dropout after the first hidden layer only",
        "layer 2 .*units kept",
        lambda self, x: self.linear_3(self.relu(self.linear_2(_hidden(self, x.flatten(1), 1)))),
    ),
    (
        "no dropout at all",
        "units kept",
        lambda self, x: self.linear_3(self.relu(self.linear_2(self.relu(self.linear_1(x.flatten(1)))))),
    ),
    (
        "dropout twice after the first layer",
        "layer 1 .*applied twice",
        lambda self, x: self.linear_3(_hidden(self, self.dropout(_hidden(self, x.flatten(1), 1)), 2)),
    ),
    (
        "ReLU forgotten after the second layer",
        "layer 2 .*half of it 0",
        lambda self, x: self.linear_3(self.dropout(self.linear_2(_hidden(self, x.flatten(1), 1)))),
    ),
    (
        "softmax at the end",
        "no negative one",
        lambda self, x: Teacher.forward(self, x).softmax(1),
    ),
    (
        "log_softmax at the end",
        "no ReLU|negative and|log-prob|raw numbers",
        lambda self, x: Teacher.forward(self, x).log_softmax(1),
    ),
    ("ReLU on the logits", "no ReLU|negative", lambda self, x: Teacher.forward(self, x).relu()),
    ("dropout on the logits", "after the last layer", lambda self, x: self.dropout(Teacher.forward(self, x))),
    (
        "dropout on the pixels",
        "after a hidden layer",
        lambda self, x: Teacher.forward(self, self.dropout(x)),
    ),
    ("the second layer left out", "called once", lambda self, x: self.linear_3(_hidden(self, x.flatten(1), 1))),
    (
        "functional dropout that evaluation mode does not switch off",
        "half of it 0|units kept|factor|applied twice",
        lambda self, x: self.linear_3(
            F.dropout(self.linear_2(F.dropout(self.linear_1(x.flatten(1)).relu(), 0.5)).relu(), 0.5)
        ),
    ),
]:
    wrong("teacher_net", mistake, says=says)(_teacher(forward))


@wrong("teacher_net", "the argument dropout is ignored", says="ignores its argument")
class Fixed(Teacher):
    def __init__(self, dropout=0.5):
        super().__init__(0.5)


@wrong("teacher_net", "another width", says="shapes of all weights")
class Narrow(Teacher):
    def __init__(self, dropout=0.5):
        super().__init__(dropout)
        self.linear_1, self.linear_2 = nn.Linear(784, 800), nn.Linear(800, 1200)


@wrong("teacher_net", "one hidden layer used twice", says="shapes of all weights")
class Shared(Teacher):
    def __init__(self, dropout=0.5):
        super().__init__(dropout)
        self.linear_2 = nn.Identity()


@wrong("teacher_net", "p is the share that is kept", says="units kept")
class Kept(Teacher):
    def __init__(self, dropout=0.5):
        super().__init__(1 - dropout)


# --- soft_targets

for mistake, says, formula in [
    ("multiplies by T", "softmax", lambda z, T=1.0: (z * T).softmax(1)),
    ("forgets T", "logits / T", lambda z, T=1.0: z.softmax(1)),
    ("divides the probabilities by T", "logits / T", lambda z, T=1.0: z.softmax(1) / T),
    ("softmax over the images", "of a row", lambda z, T=1.0: (z / T).softmax(0)),
    ("log-probabilities", "softmax", lambda z, T=1.0: (z / T).log_softmax(1)),
    (
        "plain exp, which overflows",
        "exp overflows",
        lambda z, T=1.0: (z / T).exp() / (z / T).exp().sum(1, keepdim=True),
    ),
    ("sigmoid instead of softmax", "of a row", lambda z, T=1.0: torch.sigmoid(z / T)),
    ("sum over everything", "of a row", lambda z, T=1.0: (z / T).exp() / (z / T).exp().sum()),
    ("not normalised", "softmax", lambda z, T=1.0: (z / T - (z / T).amax(1, keepdim=True)).exp()),
    ("default T of 2", "usual softmax", lambda z, T=2.0: soft_targets(z, T)),
    ("returns NumPy", "a tensor", lambda z, T=1.0: soft_targets(z, T).numpy()),
    ("hard targets", "softmax", lambda z, T=1.0: F.one_hot(z.argmax(1), z.shape[1]).to(z.dtype)),
    ("float32 whatever comes", "Keep the dtype|expected", lambda z, T=1.0: soft_targets(z.float(), T)),
    ("float64 whatever comes", "Keep the dtype", lambda z, T=1.0: soft_targets(z.double(), T)),
    ("softens twice", "logits / T", lambda z, T=1.0: soft_targets(z / T, T)),
]:
    wrong("soft_targets", mistake, says=says)(formula)


@wrong("soft_targets", "divides the caller's logits", says="logits as they were")
def in_place(logits, temperature=1.0):
    logits /= temperature
    return logits.softmax(1)


# --- teacher_logits


@wrong("teacher_logits", "no eval and no no_grad, as on the slide", says="dropout|Evaluation|requires|statistics")
def as_on_the_slide(teacher, images, batch_size=2000):
    return torch.cat([teacher(piece) for piece in images.split(batch_size)])


@wrong("teacher_logits", "no_grad without eval", says="Is dropout switched off")
@torch.no_grad()
def only_no_grad(teacher, images, batch_size=2000):
    return torch.cat([teacher(piece) for piece in images.split(batch_size)])


@wrong("teacher_logits", "eval without no_grad", says="gradients recorded")
def only_eval(teacher, images, batch_size=2000):
    mode = teacher.training
    teacher.eval()
    out = torch.cat([teacher(piece) for piece in images.split(batch_size)])
    teacher.train(mode)
    return out


@wrong("teacher_logits", "detaches afterwards", says="detach.* comes too late")
def detached(teacher, images, batch_size=2000):
    return only_eval(teacher, images, batch_size).detach()


@wrong("teacher_logits", "leaves the teacher in evaluation mode", says="mode afterwards")
@torch.no_grad()
def stays(teacher, images, batch_size=2000):
    teacher.eval()
    return torch.cat([teacher(piece) for piece in images.split(batch_size)])


@wrong("teacher_logits", "always back to training mode", says="mode afterwards")
def always_training(teacher, images, batch_size=2000):
    out = teacher_logits(teacher, images, batch_size)
    teacher.train()
    return out


@wrong("teacher_logits", "leaves the last, smaller piece out", says="rows")
def no_rest(teacher, images, batch_size=2000):
    return teacher_logits(teacher, images[: len(images) // batch_size * batch_size or None], batch_size)


@wrong("teacher_logits", "returns the answer to the last piece", says="rows")
def last_only(teacher, images, batch_size=2000):
    return teacher_logits(teacher, images, batch_size)[-(len(images) % batch_size) :]


@wrong("teacher_logits", "all images at once", says="Pieces of batch_size")
def at_once(teacher, images, batch_size=2000):
    return teacher_logits(teacher, images, len(images))


@wrong("teacher_logits", "batch_size ignored", says="Pieces of batch_size")
def fixed_size(teacher, images, batch_size=2000):
    return teacher_logits(teacher, images, 5)


@wrong("teacher_logits", "probabilities instead of logits", says="expected")
def probabilities(teacher, images, batch_size=2000):
    return teacher_logits(teacher, images, batch_size).softmax(1)


@wrong("teacher_logits", "a list of pieces", says="One tensor")
def pieces(teacher, images, batch_size=2000):
    return list(teacher_logits(teacher, images, batch_size).split(batch_size))


@wrong("teacher_logits", "freezes the teacher for good", says="frozen")
def frozen(teacher, images, batch_size=2000):
    for weight in teacher.parameters():
        weight.requires_grad_(False)
    return teacher_logits(teacher, images, batch_size)


@wrong("teacher_logits", "shuffles the images", says="in order")
def shuffled(teacher, images, batch_size=2000):
    return teacher_logits(teacher, images.flip(0), batch_size)


@wrong("teacher_logits", "predicted classes", says="expected")
def classes(teacher, images, batch_size=2000):
    return teacher_logits(teacher, images, batch_size).argmax(1)


# --- logit_gradient

for mistake, says, function in [
    ("mean of the sizes", "expected", lambda loss, z: logit_gradient(loss, z).abs().mean()),
    ("absolute values", "no absolute value", lambda loss, z: logit_gradient(loss, z).abs()),
    ("minus sign", "gradient of the one number", lambda loss, z: -logit_gradient(loss, z)),
    ("divides by the images", "no mean", lambda loss, z: logit_gradient(loss, z) / len(z)),
    ("multiplies by the images", "gradient of the one number", lambda loss, z: logit_gradient(loss, z) * len(z)),
    ("summed over the classes", "shape", lambda loss, z: logit_gradient(loss, z).sum(1)),
    ("squared", "gradient of", lambda loss, z: logit_gradient(loss, z) ** 2),
    ("a NumPy array", "a tensor", lambda loss, z: logit_gradient(loss, z).numpy()),
    ("the loss itself", "expected", lambda loss, z: loss(z.detach())),
    ("a tuple, as autograd.grad returns it", "expected a tensor", lambda loss, z: (logit_gradient(loss, z),)),
    ("zeros", "gradient of", lambda loss, z: torch.zeros_like(z.detach())),
]:
    wrong("logit_gradient", mistake, says=says)(function)


@wrong("logit_gradient", "backward through the logits that were given", says="gradients?|changed|as they were|requires")
def through_the_given(loss, logits):
    logits.requires_grad_()
    loss(logits).backward()
    return logits.grad


@wrong("logit_gradient", "requires_grad left on the given logits", says="as they were")
def left_on(loss, logits):
    logits.requires_grad_()
    return torch.autograd.grad(loss(logits), logits)[0]


@wrong("logit_gradient", "gradient that keeps its graph", says="without a graph")
def with_graph(loss, logits):
    leaf = logits.detach().clone().requires_grad_()
    out = torch.autograd.grad(loss(leaf), leaf, create_graph=True)[0]
    return out if out.requires_grad else out + 0 * leaf


@wrong("logit_gradient", "copy that is not detached", says="gradients|does not require grad|stopped|as it was")
def not_detached(loss, logits):
    copy = logits.clone()
    copy.requires_grad_() if not copy.requires_grad else copy.retain_grad()
    loss(copy).backward()
    return copy.grad


@wrong("logit_gradient", "finite differences with a coarse step", says="gradient of the one number")
def coarse(loss, logits):
    grad = torch.zeros_like(logits.detach())
    for i in range(grad.numel()):
        step = torch.zeros_like(grad).flatten()
        step[i] = 0.1
        grad.view(-1)[i] = (loss(logits.detach() + step.view_as(grad)) - loss(logits.detach())) / 0.1
    return grad


# --- distillation_loss


def _parts(s, t, y, T):
    log_p, log_q = F.log_softmax(t.detach() / T, 1), F.log_softmax(s / T, 1)
    kl = (log_p.exp() * (log_p - log_q)).sum(1).mean()
    return kl, F.cross_entropy(s, y)


def _variant(formula):
    return lambda student, teacher, labels, temperature=2.0, alpha=0.9: formula(
        student, teacher, labels, temperature, alpha
    )


def _mixed(kl, ce, T, a):
    return a * T**2 * kl + (1 - a) * ce


for mistake, says, formula in [
    ("T squared forgotten", "T 4.*smaller gradient", lambda s, t, y, T, a: _mixed(*_parts(s, t, y, T), 1, a)),
    ("T instead of T squared", "T 4.*smaller gradient", lambda s, t, y, T, a: _mixed(*_parts(s, t, y, T), T**0.5, a)),
    ("T squared on both parts", "T 6.*no factor", lambda s, t, y, T, a: T**2 * _mixed(*_parts(s, t, y, T), 1, a)),
    (
        "cross entropy at the temperature",
        "T 6.*takes no temperature",
        lambda s, t, y, T, a: _mixed(_parts(s, t, y, T)[0], F.cross_entropy(s / T, y), T, a),
    ),
    ("alpha the wrong way round", "alpha 0, T 1", lambda s, t, y, T, a: _mixed(*_parts(s, t, y, T), T, 1 - a)),
    ("labels not weighted", "alpha 1", lambda s, t, y, T, a: a * T**2 * _parts(s, t, y, T)[0] + F.cross_entropy(s, y)),
    (
        "KL the wrong way round",
        "comes first",
        lambda s, t, y, T, a: _mixed(_parts(t, s, y, T)[0], F.cross_entropy(s, y), T, a),
    ),
    (
        "kl_div with its default reduction",
        "Sum over classes",
        lambda s, t, y, T, a: _mixed(
            F.kl_div(F.log_softmax(s / T, 1), (t / T).softmax(1), reduction="none").mean(), F.cross_entropy(s, y), T, a
        ),
    ),
    (
        "kl_div of probabilities instead of log-probabilities",
        "inside kl_div",
        lambda s, t, y, T, a: _mixed(
            F.kl_div((s / T).softmax(1), (t / T).softmax(1), reduction="batchmean"), F.cross_entropy(s, y), T, a
        ),
    ),
    (
        "sum over the images",
        "mean over images|alpha 1",
        lambda s, t, y, T, a: _mixed(_parts(s, t, y, T)[0] * len(s), F.cross_entropy(s, y), T, a),
    ),
    (
        "the lecture's MSE of probabilities",
        "alpha 1, T 1",
        lambda s, t, y, T, a: _mixed(F.mse_loss((s / T).softmax(1), (t / T).softmax(1)), F.cross_entropy(s, y), T, a),
    ),
    (
        "only the student is softened",
        "Both logits are divided",
        lambda s, t, y, T, a: _mixed(
            F.kl_div(F.log_softmax(s / T, 1), t.softmax(1), reduction="batchmean"), F.cross_entropy(s, y), T, a
        ),
    ),
    (
        "cross entropy with soft targets, not KL",
        "alpha 1, T 1",
        lambda s, t, y, T, a: _mixed(F.cross_entropy(s / T, (t / T).softmax(1)), F.cross_entropy(s, y), T, a),
    ),
    (
        "softmax over the images",
        "alpha 1, T 1",
        lambda s, t, y, T, a: _mixed(
            F.kl_div(F.log_softmax(s / T, 0), (t / T).softmax(0), reduction="batchmean"), F.cross_entropy(s, y), T, a
        ),
    ),
    (
        "softmax before cross entropy",
        "plain logits",
        lambda s, t, y, T, a: _mixed(_parts(s, t, y, T)[0], F.cross_entropy(s.softmax(1), y), T, a),
    ),
    (
        "multiplies by T",
        "divided by T",
        lambda s, t, y, T, a: _mixed(_parts(s * T, t * T, y, 1)[0], F.cross_entropy(s, y), T, a),
    ),
    ("hard labels alone", "alpha 1", lambda s, t, y, T, a: _mixed(0 * s.sum(), F.cross_entropy(s, y), T, a)),
    ("a float", "as a tensor", lambda s, t, y, T, a: distillation_loss(s, t, y, T, a).item()),
    ("a loss per image", "mean over the images", lambda s, t, y, T, a: distillation_loss(s, t, y, T, a).expand(len(s))),
    (
        "student detached",
        "detached",
        lambda s, t, y, T, a: distillation_loss(s.detach(), t, y, T, a),
    ),
    (
        "gradient flows to the teacher",
        "detach",
        lambda s, t, y, T, a: _mixed(
            F.kl_div(F.log_softmax(s / T, 1), F.log_softmax(t / T, 1), reduction="batchmean", log_target=True),
            F.cross_entropy(s, y),
            T,
            a,
        ),
    ),
    (
        "log of a softmax",
        "log_softmax is not",
        lambda s, t, y, T, a: _mixed(
            ((t.detach() / T).softmax(1) * ((t.detach() / T).softmax(1).log() - (s / T).softmax(1).log()))
            .sum(1)
            .mean(),
            F.cross_entropy(s, y),
            T,
            a,
        ),
    ),
]:
    wrong("distillation_loss", mistake, says=says)(_variant(formula))


@wrong("distillation_loss", "other defaults", says="defaults")
def other_defaults(student, teacher, labels, temperature=5.0, alpha=0.5):
    return distillation_loss(student, teacher, labels, temperature, alpha)


# --- error_reduction


def _interval(values, s, t, n=None):
    mean, n = statistics.mean(values), n or len(values)
    return mean, mean - t * s / math.sqrt(n), mean + t * s / math.sqrt(n)


def _refusing(formula):
    def reduction(plain, distilled):
        if len(plain) != len(distilled) or not 2 <= len(plain) <= 21:
            raise ValueError
        return formula(list(plain), list(distilled), [1 - d / p for p, d in zip(plain, distilled, strict=True)])

    return reduction


for mistake, says, formula in [
    ("divides by n", "n - 1", lambda p, d, r: _interval(r, statistics.pstdev(r), T_QUANTILE[len(r) - 1])),
    ("1.96 instead of t", "t belongs", lambda p, d, r: _interval(r, statistics.stdev(r), 1.96)),
    ("t of n degrees", "n - 1", lambda p, d, r: _interval(r, statistics.stdev(r), T_QUANTILE[len(r)])),
    ("no root of n", "n - 1|low end", lambda p, d, r: _interval(r, statistics.stdev(r), T_QUANTILE[len(r) - 1], 1)),
    ("variance instead of s", "low end", lambda p, d, r: _interval(r, statistics.variance(r), T_QUANTILE[len(r) - 1])),
    ("reduction of the sums", "not the share of the sums",
     lambda p, d, r: (m := 1 - sum(d) / sum(p), *(v - statistics.mean(r) + m for v in error_reduction(p, d)[1:]))),
    ("divides by the distilled errors", "mean", lambda p, d, r: error_reduction(d, [2 * y - x for x, y in zip(p, d, strict=True)])),
    ("remaining share instead of the avoided one", "mean", lambda p, d, r: tuple(1 - v for v in error_reduction(p, d))),
    ("wrong sign", "mean", lambda p, d, r: tuple(-v for v in error_reduction(p, d))),
    ("in percent", "mean", lambda p, d, r: tuple(100 * v for v in error_reduction(p, d))),
    ("best run against best run", "mean", lambda p, d, r: (m := 1 - min(d) / min(p), m - 0.1, m + 0.1)),
    ("best run against worst run", "mean", lambda p, d, r: (m := 1 - min(d) / max(p), m - 0.1, m + 0.1)),
    ("median instead of mean", "mean", lambda p, d, r: (m := statistics.median(r),
     *(v - statistics.mean(r) + m for v in error_reduction(p, d)[1:]))),
    ("high before low", "low end", lambda p, d, r: (lambda m, low, high: (m, high, low))(*error_reduction(p, d))),
    ("smallest and largest run as the interval", "low end", lambda p, d, r: (statistics.mean(r), min(r), max(r))),
    ("the mean alone", "a tuple", lambda p, d, r: statistics.mean(r)),
    ("never below 0", "Worse is a negative", lambda p, d, r: (max(0.0, error_reduction(p, d)[0]), *error_reduction(p, d)[1:])),
    ("runs sorted first", "run by run|half the width", lambda p, d, r: error_reduction(sorted(p), sorted(d))),
]:  # fmt: skip
    wrong("error_reduction", mistake, says=says)(_refusing(formula))


@wrong("error_reduction", "unequal lengths cut short", says="ValueError")
def cut_short(plain, distilled):
    n = min(len(plain), len(distilled))
    return error_reduction(plain[:n], distilled[:n])


@wrong("error_reduction", "one run accepted", says="ValueError")
def one_run(plain, distilled):
    if len(plain) == len(distilled) == 1:
        return (1 - distilled[0] / plain[0],) * 3
    return error_reduction(plain, distilled)


# --- bias_offset


def _lacks(logits, digit):
    others = torch.cat([logits[:, :digit], logits[:, digit + 1 :]], 1).amax(1)
    return (others - logits[:, digit]).sort().values


def _checked(formula):
    def offset(logits, digit, share):
        k = round(share * len(logits))
        if not 1 <= k < len(logits):
            raise ValueError
        return formula(logits, digit, k)

    return offset


for mistake, says, formula in [
    ("the smallest that is just enough", "Halfway", lambda z, c, k: _lacks(z, c)[k - 1].item()),
    ("enough for one more", "Halfway", lambda z, c, k: _lacks(z, c)[k].item()),
    ("one row too few", "Halfway|Count", lambda z, c, k: (_lacks(z, c)[max(k - 2, 0)] + _lacks(z, c)[k - 1]).item() / 2),
    ("sorted the wrong way round", "Halfway|Count", lambda z, c, k: _lacks(z, c).flip(0)[k - 1 : k + 1].mean().item()),
    ("mean of what all rows lack", "Halfway|Count", lambda z, c, k: _lacks(z, c).mean().item()),
    ("wrong sign", "Halfway|Count", lambda z, c, k: -bias_offset(z, c, k / len(z))),
    ("a tensor", "float", lambda z, c, k: _lacks(z, c)[k - 1 : k + 1].mean()),
    ("difference to the mean of the others", "Halfway|Count",
     lambda z, c, k: (((z.sum(1) - z[:, c]) / (z.shape[1] - 1)) - z[:, c]).sort().values[k - 1 : k + 1].mean().item()),
    ("column itself among the others", "Halfway|Count",
     lambda z, c, k: (z.amax(1) - z[:, c]).sort().values[k - 1 : k + 1].mean().item() * 0.5),
    ("probabilities instead of logits", "Halfway|Count", lambda z, c, k: bias_offset(z.softmax(1), c, k / len(z))),
    ("raises the next class", "Halfway|Count", lambda z, c, k: bias_offset(z, (c + 1) % z.shape[1], k / len(z))),
    ("logit that the class has on average", "Halfway|Count", lambda z, c, k: (z.amax(1).mean() - z[:, c].mean()).item()),
    ("adds a little to be safe", "Halfway|Count", lambda z, c, k: bias_offset(z, c, k / len(z)) + 0.3),
]:  # fmt: skip
    wrong("bias_offset", mistake, says=says)(_checked(formula))


@wrong("bias_offset", "any share accepted", says="ValueError|could not|stopped")
def any_share(logits, digit, share):
    k = round(share * len(logits))
    lacks = _lacks(logits, digit)
    return lacks[[max(k - 1, 0), min(k, len(lacks) - 1)]].mean().item()


@wrong("bias_offset", "changes the logits", says="as they were")
def changes(logits, digit, share):
    offset = bias_offset(logits, digit, share)
    logits[:, digit] += offset
    return offset


# --- straight_through


def _function(forward=None, backward=None):
    members = {"forward": staticmethod(forward or SignStraightThrough.forward)}
    members["backward"] = staticmethod(backward or SignStraightThrough.backward)
    return type("Sign", (torch.autograd.Function,), members)


def _saved(values):
    def forward(ctx, weights):
        ctx.save_for_backward(weights)
        return values(weights)

    return forward


def _masked(mask):
    return lambda ctx, *outputs: outputs[0] * mask(ctx.saved_tensors[0])


for mistake, says, function in [
    ("torch.sign, 0 at 0", "0 included", _function(_saved(torch.sign))),
    ("-1 at 0", "0 included", _function(_saved(lambda w: torch.where(w > 0, 1.0, -1.0).to(w.dtype)))),
    ("0 and 1 instead of -1 and +1", "forward", _function(_saved(lambda w: (w >= 0).to(w.dtype)))),
    ("times the mean size", "nothing else", _function(_saved(lambda w: SignStraightThrough.apply(w) * w.abs().mean()))),
    ("always float32", "dtype", _function(_saved(lambda w: torch.where(w >= 0, 1.0, -1.0)))),
    ("integers", "dtype|stopped|forward", _function(_saved(lambda w: torch.where(w >= 0, 1, -1)))),
    ("tanh", "nothing else", _function(_saved(torch.tanh))),
    ("the true derivative", "backward", _function(backward=_masked(torch.zeros_like))),
    ("no mask", "0 outside", _function(backward=_masked(torch.ones_like))),
    ("mask the wrong way round", "backward", _function(backward=_masked(lambda w: w.abs() > 1))),
    ("ends left out", "ends included", _function(backward=_masked(lambda w: w.abs() < 1))),
    ("only positive weights learn", "backward", _function(backward=_masked(lambda w: (w >= 0) & (w <= 1)))),
    ("times the weights", "unchanged", _function(backward=_masked(lambda w: w * (w.abs() <= 1)))),
    ("derivative of tanh", "unchanged", _function(backward=_masked(lambda w: 1 - torch.tanh(w) ** 2))),
    ("forgets what comes in", "unchanged", _function(backward=lambda ctx, *out: (ctx.saved_tensors[0].abs() <= 1) * 1.0)),
    ("sign of the gradient", "unchanged", _function(backward=lambda ctx, *out: _masked(lambda w: w.abs() <= 1)(ctx, out[0].sign()))),
    ("gradient clipped instead of masked", "backward", _function(backward=lambda ctx, *out: out[0].clamp(-1, 1))),
    ("mask of the signs", "0 outside", _function(
        lambda ctx, w: (ctx.save_for_backward(SignStraightThrough.apply(w)), SignStraightThrough.apply(w))[1],
        _masked(lambda w: w.abs() <= 1))),
]:  # fmt: skip
    wrong("straight_through", mistake, says=says)(function)


@wrong("straight_through", "a plain function", says="apply")
def plain(weights):
    return SignStraightThrough.apply(weights)
