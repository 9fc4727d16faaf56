"""Honest variants in exercise 08."""

import numpy as np
import torch
from torch import nn

from exercise_code.labs.augmentation import turned
from exercise_code.labs.batch_norm import ShiftedNorm, fold_batch_norm, running_statistics
from exercise_code.networks.batchnorm import (
    BatchCache,
    FixedCache,
    batchnorm_backward,
    batchnorm_backward_compact,
    batchnorm_forward,
    batchnorm_test_forward,
)
from tests.catalogue import right

# --- batchnorm_forward

right("batchnorm_forward", "the reference")(batchnorm_forward)


@right("batchnorm_forward", "with np.mean and np.var")
def with_var(x, gamma, beta, *, eps=1e-5):
    mean, var = np.mean(x, axis=0), np.var(x, axis=0)
    scale = 1 / np.sqrt(var + eps)
    normal = (x - mean) * scale
    return normal * gamma + beta, BatchCache(normal, scale, gamma, mean, var)


@right("batchnorm_forward", "divides by the root")
def dividing(x, gamma, beta, *, eps=1e-5):
    mean = x.sum(axis=0) / x.shape[0]
    var = ((x - mean) ** 2).sum(axis=0) / x.shape[0]
    normal = (x - mean) / np.sqrt(var + eps)
    return gamma * normal + beta, BatchCache(normal, 1 / np.sqrt(var + eps), gamma, mean, var)


@right("batchnorm_forward", "a loop over the features")
def by_feature(x, gamma, beta, *, eps=1e-5):
    out, normal = np.empty_like(x), np.empty_like(x)
    scale, means, variances = (np.empty(x.shape[1], x.dtype) for _ in range(3))
    for j in range(x.shape[1]):
        means[j], variances[j] = x[:, j].mean(), x[:, j].var()
        scale[j] = (variances[j] + eps) ** -0.5
        normal[:, j] = (x[:, j] - means[j]) * scale[j]
        out[:, j] = gamma[j] * normal[:, j] + beta[j]
    return out, BatchCache(normal, scale, gamma, means, variances)


@right("batchnorm_forward", "rows of means kept as (1, D), cache by name")
def keepdims(x, gamma, beta, *, eps=1e-5):
    mean = x.mean(0, keepdims=True)
    var = ((x - mean) ** 2).mean(0)
    spread = np.sqrt(var + eps)
    normal = (x - mean) / spread
    out = normal * gamma[None] + beta[None]
    return out, BatchCache(normalized=normal, inverse_std=1 / spread, gamma=gamma, mean=mean[0], var=var)


@right("batchnorm_forward", "as a list, with einsum")
def einsum(x, gamma, beta, *, eps=1e-5):
    mean = np.average(x, axis=0)
    centered = x - mean
    var = np.einsum("nd,nd->d", centered, centered) / len(x)
    scale = np.power(var + eps, -0.5)
    return [gamma * centered * scale + beta, BatchCache(centered * scale, scale, gamma, mean, var)]


# --- batchnorm_backward and its compact form: what is right for one cache is right for the other

right("batchnorm_backward", "the reference")(batchnorm_backward)
right("batchnorm_backward", "the compact formula already")(batchnorm_backward_compact)
right("compact_backward", "the reference")(batchnorm_backward_compact)


@right("batchnorm_backward", "loops over samples and features")
@right("compact_backward", "loops over samples and features")
def looped(dout, cache):
    N, D = dout.shape
    dx, dgamma, dbeta = np.zeros_like(dout), np.zeros(D, dout.dtype), np.zeros(D, dout.dtype)
    for j in range(D):
        dbeta[j] = sum(dout[:, j])
        dgamma[j] = sum(dout[:, j] * cache.normalized[:, j])
        for i in range(N):
            inner = N * dout[i, j] - dbeta[j] - cache.normalized[i, j] * dgamma[j]
            dx[i, j] = cache.gamma[j] * cache.inverse_std[j] / N * inner
    return dx, dgamma, dbeta


@right("batchnorm_backward", "one matrix per feature")
@right("compact_backward", "one matrix per feature")
def jacobian(dout, cache):
    N = len(dout)
    dx = np.empty_like(dout)
    for j, normal in enumerate(cache.normalized.T):
        matrix = np.eye(N, dtype=dout.dtype) - 1 / N - np.outer(normal, normal) / N
        dx[:, j] = cache.gamma[j] * cache.inverse_std[j] * (matrix @ dout[:, j])
    return dx, (dout * cache.normalized).sum(0), dout.sum(0)


@right("batchnorm_backward", "means instead of sums over N")
@right("compact_backward", "means instead of sums over N")
def by_means(dout, cache):
    common = dout.mean(0) + cache.normalized * (dout * cache.normalized).mean(0)
    dx = (dout - common) * cache.gamma * cache.inverse_std
    return [dx, np.sum(dout * cache.normalized, axis=0), np.sum(dout, axis=0)]


@right("batchnorm_backward", "dnormalized first, without gamma later")
@right("compact_backward", "dnormalized first, without gamma later")
def dnormalized_first(dout, cache):
    N, dn = len(dout), dout * cache.gamma
    dx = cache.inverse_std / N * (N * dn - dn.sum(0) - cache.normalized * (dn * cache.normalized).sum(0))
    return dx, (dout * cache.normalized).sum(0), dout.sum(0)


@right("batchnorm_backward", "the three terms of the paper")
def paper(dout, cache):
    N = len(dout)
    dn = dout * cache.gamma
    centered = cache.centered
    dvar = (dn * centered * -0.5 * cache.inverse_std**3).sum(axis=0)
    dmean = (-dn * cache.inverse_std).sum(axis=0) + dvar * (-2 * centered).mean(axis=0)
    dx = dn * cache.inverse_std + dvar * 2 * centered / N + dmean / N
    return dx, (dout * cache.normalized).sum(axis=0), dout.sum(axis=0)


# --- batchnorm_test_time

right("batchnorm_test_time", "the reference")(batchnorm_test_forward)


@right("batchnorm_test_time", "divides by the root")
def test_dividing(x, gamma, beta, mean, var, *, eps=1e-5):
    spread = np.sqrt(var + eps)
    normal = (x - mean) / spread
    return normal * gamma + beta, FixedCache(normal, 1 / spread, gamma)


@right("batchnorm_test_time", "one multiplication and one addition")
def test_affine(x, gamma, beta, mean, var, *, eps=1e-5):
    scale = (var + eps) ** -0.5
    out = x * (gamma * scale) + (beta - mean * gamma * scale)
    return out, FixedCache((x - mean) * scale, scale, gamma)


@right("batchnorm_test_time", "sample by sample")
def test_rows(x, gamma, beta, mean, var, *, eps=1e-5):
    scale = np.power(var + eps, -0.5)
    normal = np.stack([(row - mean) * scale for row in x])
    return np.stack([gamma * row + beta for row in normal]), FixedCache(normal, scale, gamma)


@right("batchnorm_test_time", "as a list, cache by name")
def test_list(x, gamma, beta, mean, var, *, eps=1e-5):
    scale = np.reciprocal(np.sqrt(np.add(var, eps)))
    normal = np.multiply(x - mean, scale)
    return [
        np.add(np.multiply(normal, gamma), beta),
        FixedCache(gamma=gamma.copy(), inverse_std=scale, normalized=normal),
    ]


@right("batchnorm_test_time", "feature by feature")
def test_columns(x, gamma, beta, mean, var, *, eps=1e-5):
    normal, out = np.empty_like(x), np.empty_like(x)
    for j in range(x.shape[1]):
        normal[:, j] = (x[:, j] - mean[j]) / np.sqrt(var[j] + eps)
        out[:, j] = gamma[j] * normal[:, j] + beta[j]
    return out, FixedCache(normal, 1 / np.sqrt(var + eps), gamma)


# --- running_statistics

right("running_statistics", "the reference")(running_statistics)


@right("running_statistics", "as in the formula")
def running_plain(mean, var, batch, momentum=0.1):
    batch = batch.detach()
    new_mean, new_var = batch.mean(0), batch.var(0)
    return (1 - momentum) * mean + momentum * new_mean, (1 - momentum) * var + momentum * new_var


@right("running_statistics", "under no_grad, by differences")
def running_no_grad(mean, var, batch, momentum=0.1):
    with torch.no_grad():
        return mean + momentum * (batch.mean(0) - mean), var + momentum * (batch.var(0, correction=1) - var)


@right("running_statistics", "the variance by hand")
@torch.no_grad()
def running_by_hand(mean, var, batch, momentum=0.1):
    n = batch.shape[0]
    average = batch.sum(0) / n
    spread = ((batch - average) ** 2).sum(0) / (n - 1)
    return [mean * (1 - momentum) + average * momentum, var * (1 - momentum) + spread * momentum]


@right("running_statistics", "var_mean, biased and corrected")
def running_var_mean(mean, var, batch, momentum=0.1):
    n = len(batch)
    spread, average = torch.var_mean(batch.detach(), dim=0, unbiased=False)
    return mean * (1 - momentum) + momentum * average, var * (1 - momentum) + momentum * spread * n / (n - 1)


@right("running_statistics", "lets torch's own layer do it")
def running_by_layer(mean, var, batch, momentum=0.1):
    mean, var = mean.clone(), var.clone()
    torch.nn.functional.batch_norm(batch.detach(), mean, var, training=True, momentum=momentum)
    return mean, var


# --- fold_batch_norm

right("fold_batch_norm", "the reference")(fold_batch_norm)


def _fill(weight, bias):
    new = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        new.weight.copy_(weight)
        new.bias.copy_(bias)
    return new


@right("fold_batch_norm", "copies into a new layer")
def fold_copy(linear, norm):
    factor = norm.weight / (norm.running_var + norm.eps).sqrt()
    bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias
    return _fill(factor[:, None] * linear.weight, (bias - norm.running_mean) * factor + norm.bias)


@right("fold_batch_norm", "with a diagonal matrix")
def fold_diagonal(linear, norm):
    factor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    bias = norm.bias - factor * norm.running_mean
    if linear.bias is not None:
        bias = bias + factor * linear.bias
    return _fill(torch.diag(factor) @ linear.weight, bias)


@right("fold_batch_norm", "asks the two what they do with 0 and the unit vectors")
def fold_ask(linear, norm):
    def both(x):
        z = linear(x)
        return nn.functional.batch_norm(
            z, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0, norm.eps
        )

    zero = both(torch.zeros(1, linear.in_features))
    return _fill((both(torch.eye(linear.in_features)) - zero).T, zero[0])


@right("fold_batch_norm", "torch's own fusion")
def fold_torch(linear, norm):
    weight, bias = torch.nn.utils.fusion.fuse_linear_bn_weights(
        linear.weight, linear.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    return _fill(weight.detach(), bias.detach())


@right("fold_batch_norm", "row by row, new parameters")
def fold_rows(linear, norm):
    new = nn.Linear(linear.in_features, linear.out_features)
    weight, bias = linear.weight.detach().clone(), torch.zeros(linear.out_features)
    for row in range(linear.out_features):
        factor = (norm.weight[row] / (norm.running_var[row] + norm.eps) ** 0.5).item()
        start = 0.0 if linear.bias is None else linear.bias[row].item()
        weight[row] *= factor
        bias[row] = norm.bias[row].item() + (start - norm.running_mean[row].item()) * factor
    new.weight, new.bias = nn.Parameter(weight), nn.Parameter(bias)
    return new


# --- shifted_norm

right("shifted_norm", "the reference")(ShiftedNorm)


def shifted(forward):
    """A ShiftedNorm with another forward."""
    return type(forward.__name__, (ShiftedNorm,), {"forward": forward})


@right("shifted_norm", "uniform_ on empty tensors")
@shifted
def with_uniform(self, x):
    out = self.norm(x)
    if self.training:
        factor = torch.empty(out.shape[1]).uniform_(1, 1 + self.strength)
        shift = torch.empty(out.shape[1]).uniform_(-1, 1) * self.strength
        out = factor * out + shift
    return out


@right("shifted_norm", "rows of shape (1, D)")
@shifted
def with_rows(self, x):
    out = self.norm(x)
    if not self.training:
        return out
    scale = 1 + self.strength * torch.rand(1, x.shape[1])
    return out * scale + (torch.rand(1, x.shape[1]) - 0.5) * 2 * self.strength


@right("shifted_norm", "rand_like of the norm's weight")
@shifted
def with_rand_like(self, x):
    strength = self.strength if self.training else 0.0
    factor, shift = (torch.rand_like(self.norm.weight) for _ in range(2))
    return self.norm(x) * (1 + strength * factor) + strength * (2 * shift - 1)


@right("shifted_norm", "torch.lerp between the ends")
@shifted
def with_lerp(self, x):
    z = self.norm(x)
    if self.training:
        low, high = torch.full((z.shape[1],), -self.strength), torch.full((z.shape[1],), float(self.strength))
        z = z + z * self.strength * torch.rand(z.shape[1]) + torch.lerp(low, high, torch.rand(z.shape[1]))
    return z


@right("shifted_norm", "one draw of 2 D numbers, cut in two")
@shifted
def with_chunks(self, x):
    out = self.norm(x)
    if self.training:
        factor, shift = torch.rand(2 * x.shape[1]).chunk(2)
        out = torch.addcmul(self.strength * (2 * shift - 1), 1 + self.strength * factor, out)
    return out


# --- turned

right("turned", "the reference")(turned)


@right("turned", "image by image, with rot90")
def turned_rot90(images, random):
    out = []
    for image in images:
        kind = int(torch.randint(8, (1,), generator=random))
        image = torch.rot90(image, kind % 4, dims=(1, 2))
        out.append(image.flip(2) if kind >= 4 else image)
    return torch.stack(out)


@right("turned", "all eight, then picks")
def turned_pick(images, random):
    views = []
    for mirrored in (images, images.flip(3)):
        views += [torch.rot90(mirrored, quarters, (2, 3)) for quarters in range(4)]
    kind = torch.randint(0, 8, (len(images),), generator=random)
    return torch.stack(views)[kind, torch.arange(len(images))]


@right("turned", "with boolean masks on a copy")
def turned_masks(images, random):
    out = images.clone()
    for change in (lambda part: part.flip(-1), lambda part: part.flip(-2), lambda part: part.mT):
        rows = torch.rand(len(out), generator=random) < 0.5
        out[rows] = change(out[rows])
    return out


@right("turned", "coins one by one, integers")
def turned_coins(images, random):
    out = []
    for image in images:
        for dims in ([1], [2]):
            if torch.randint(2, (), generator=random):
                image = image.flip(dims)
        if torch.randint(2, (), generator=random):
            image = image.transpose(-1, -2)
        out.append(image)
    return torch.stack(out)


@right("turned", "bits of one number per image")
def turned_bits(images, random):
    kind = torch.randint(0, 8, (len(images), 1, 1, 1), generator=random)
    images = torch.where(kind % 2 == 1, images.flip(2), images)
    images = torch.where(kind // 2 % 2 == 1, images.flip(3), images)
    return torch.where(kind // 4 == 1, images.mT, images)
