"""Checks of exercise 08: batch norm by hand, its statistics, what it can be folded into, a shift behind it, turned leaves."""

from exercise_code.checks import batch_norm_tasks, batch_norm_torch_tasks
from exercise_code.checks.core import Check

EXERCISE = "08_batch_norm"
BY_HAND = "exercise_code.networks.batchnorm"
LAB = "exercise_code.labs.batch_norm"

CHECKS = {
    "batchnorm_forward": Check(
        EXERCISE,
        batch_norm_tasks.forward,
        (
            "Every feature for itself: which axis are the samples?",
            "mean over axis 0; the mean of the squared deviations; eps under the root; gamma and beta at the very end.",
            "normalized is x minus mean, times 1 / sqrt(var + eps). Return gamma * normalized + beta and a BatchCache with its "
            "five fields in order.",
        ),
        f"{BY_HAND}:batchnorm_forward",
    ),
    "batchnorm_backward": Check(
        EXERCISE,
        batch_norm_tasks.backward,
        (
            "Draw the computational graph: x, mean, centered, var, inverse_std, normalized, out. Then walk back, one arrow at a time.",
            "centered is used twice (in normalized and in var), x is used twice (in centered and in mean): where arrows split, "
            "gradients add up.",
            "dvar is the sum of dnormalized * centered, times -1/2 * inverse_std cubed. dcentered gets dnormalized * inverse_std "
            "plus 2 / N * centered * dvar. dmean is minus the sum of dcentered; each sample gets dcentered + dmean / N.",
        ),
        f"{BY_HAND}:batchnorm_backward",
    ),
    "compact_backward": Check(
        EXERCISE,
        batch_norm_tasks.compact,
        (
            "dgamma and dbeta come first; dx is made of them.",
            "Mind what multiplies what: gamma * inverse_std stands before the whole bracket.",
            "dx = gamma * inverse_std * (dout - dbeta / N - normalized * dgamma / N).",
        ),
        f"{BY_HAND}:batchnorm_backward_compact",
    ),
    "batchnorm_test_time": Check(
        EXERCISE,
        batch_norm_tasks.test_forward,
        (
            "The formula of training, with statistics that somebody gives you.",
            "Find the difference between the two snippets above at a feature that never varied.",
            "(x - mean) / sqrt(var + eps) is normalized; return gamma * normalized + beta and a FixedCache with three fields.",
        ),
        f"{BY_HAND}:batchnorm_test_forward",
    ),
    "running_statistics": Check(
        EXERCISE,
        batch_norm_torch_tasks.running_statistics,
        (
            "Two conventions are in use: momentum as the weight of the old value, and of the new one.",
            "Here it is the weight of the new one, and the variance divides by N - 1.",
            "For both: (1 - momentum) * old + momentum * new, with batch.detach().mean(0) and .var(0), which is unbiased.",
        ),
        f"{LAB}:running_statistics",
    ),
    "fold_batch_norm": Check(
        EXERCISE,
        batch_norm_torch_tasks.fold_batch_norm,
        (
            "Write the two formulas below each other and multiply out; what stands before x is the new weight.",
            "With f = gamma / sqrt(var + eps), one number per output: each row of W is multiplied by its f.",
            "New bias: beta + (b - mean) * f, with b = 0 where there is none. Put copies into a new nn.Linear.",
        ),
        f"{LAB}:fold_batch_norm",
    ),
    "shifted_norm": Check(
        EXERCISE,
        batch_norm_torch_tasks.shifted_norm,
        (
            "First the norm, then, only in training, something random behind it.",
            "torch.rand(D) twice: once for the factors, once for the shifts. Scale them into their ranges.",
            "factor = 1 + strength * rand; shift = strength * (2 * rand - 1), with a fresh rand for each, of x.shape[1] numbers.",
        ),
        f"{LAB}:ShiftedNorm",
    ),
    "turned": Check(
        EXERCISE,
        batch_norm_torch_tasks.turned,
        (
            "Eight outcomes are three coins: mirror left-right, mirror top-bottom, swap rows and columns.",
            "A coin per image of shape (B, 1, 1, 1), and torch.where(coin, changed, unchanged).",
            "torch.rand(len(images), 1, 1, 1, generator=random) < 0.5; images.flip(3), images.flip(2), images.transpose(2, 3).",
        ),
        "exercise_code.labs.augmentation:turned",
    ),
}
