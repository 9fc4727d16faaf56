"""Checks of exercise 02: data, loss and training loop, and the first things to look at when a network trains."""

from exercise_code.checks import data_tasks, loss_tasks, training_tasks
from exercise_code.checks.core import Check
from exercise_code.checks.verifiers import function

EXERCISE = "02_solver"
DATA, LOSS, LOOP = "exercise_code.data", "exercise_code.networks.loss", "exercise_code.training_loop"

CHECKS = {
    "dataset": Check(
        EXERCISE,
        data_tasks.dataset,
        (
            "Three arrays belong together: images, labels, and _indices, which says which of them are this data set's own.",
            "Sample number index is image number self._indices[index]; an index that is too large stops there by itself.",
            "len: how many _indices. Sample: look i up in _indices, take image i and label i, send the image through "
            "self.transform unless that is None, make an int of the label, and return both in a dict.",
        ),
        f"{DATA}.dataset:ArrayDataset",
    ),
    "select_split": Check(
        EXERCISE,
        data_tasks.select_split,
        (
            "Cut `order` into pieces, one behind the other, one piece per name, and return the piece called mode.",
            "np.cumsum adds the fractions up: it says where each piece ends. Rounded to a whole number, the end of one piece is "
            "the start of the next.",
            "ends = the rounded running sum of the fractions times n; position = where mode stands in list(split); the piece goes "
            "from the end before it (0 for the first) to its own end.",
        ),
        f"{DATA}.dataset:ImageFolderDataset",
    ),
    "rescale": Check(
        EXERCISE,
        data_tasks.rescale,
        (
            "Two points fix a straight line: (old_low, low) and (old_high, high).",
            "The scale is the slope of that line: new width by old width. The shift makes old_low arrive at low.",
            "scale * old_low + shift = low; solve for shift, then super().__init__(scale, shift).",
        ),
        f"{DATA}.transforms:RescaleTransform",
    ),
    "normalize": Check(
        EXERCISE,
        data_tasks.normalize,
        (
            "(x - mean) / std is a number times x plus another number. Which two?",
            "Multiply it out: x / std - mean / std. mean may be a list, so make an array of it first.",
            "The scale is 1 over std, and the shift is minus mean over std (np.asarray(mean) for lists).",
        ),
        f"{DATA}.transforms:NormalizeTransform",
    ),
    "dataloader": Check(
        EXERCISE,
        data_tasks.dataloader,
        (
            "One array holds the order of the samples for this epoch. Then walk through it in strides of batch_size.",
            "self.rng.permutation(n) is a random order, np.arange(n) the plain one; self._gather(some indices) makes a batch; "
            "yield hands it out and goes on later from the same line.",
            "len: n // batch_size, plus one if something is left over and drop_last is off. iter: for every start in "
            "range(0, batches * batch_size, batch_size) yield self._gather of a slice of the order.",
        ),
        f"{DATA}.dataloader:DataLoader",
    ),
    "log_softmax": Check(
        EXERCISE,
        loss_tasks.log_softmax,
        (
            "If the largest score of a row is 0, no exponential is larger than 1, and at least one is exactly 1.",
            "axis=1 goes over the classes of a sample; keepdims=True leaves shape (N, 1), which fits (N, C) again.",
            "First subtract logits.max(axis=1, keepdims=True); from that subtract the log of the sum (axis 1, keepdims) of its "
            "exponentials.",
        ),
        f"{LOSS}:log_softmax",
    ),
    "cross_entropy": Check(
        EXERCISE,
        loss_tasks.cross_entropy,
        (
            "For each sample one number is needed: the log-probability at its label.",
            "Two integer arrays pick one entry per row: array[rows, columns]; the rows are 0, 1, ..., N - 1.",
            "Pick with np.arange(N) and labels, take the mean, change the sign.",
        ),
        f"{LOSS}:cross_entropy",
    ),
    "cross_entropy_gradient": Check(
        EXERCISE,
        loss_tasks.cross_entropy_gradient,
        (
            "onehot(labels) is 1 in one place per row and 0 elsewhere. You need not build it.",
            "Take a copy of p, change the one entry per row that belongs to the label, and divide.",
            "In the copy, entries [np.arange(N), labels] lose 1; then all of it is divided by N.",
        ),
        f"{LOSS}:cross_entropy_gradient",
    ),
    "mse_gradient": Check(
        EXERCISE,
        loss_tasks.mse_gradient,
        (
            "Compare with your gradient check: is the factor the same for 4 samples and for 8?",
            "The value is a mean over all entries. What does the derivative of a mean have that the derivative of a sum has not?",
            "Twice the difference, divided by the number of entries, y_out.size.",
        ),
    ),
    "train_step": Check(
        EXERCISE,
        training_tasks.train_step,
        (
            "Four things in a row: predict, measure, send the gradient back, step.",
            "The loss that is returned is the one from before the step, with the sum of all values in model.reg.",
            "y_pred from model.forward; loss_func(y_pred, y) plus the sum of model.reg.values(); then the optimizer's backward with "
            "y_pred and y, and its step.",
        ),
        f"{LOOP}:train_step",
    ),
    "dataset_loss": Check(
        EXERCISE,
        training_tasks.dataset_loss,
        (
            "What does a batch of one sample weigh in a mean of batch means, and what should it weigh?",
            "Add up loss times size, and the sizes; divide at the end. The model's mode is switched before and after.",
            "model.eval(); for each batch: total grows by loss_func(...) * len(label), count by len(label); model.train(); "
            "total / count.",
        ),
        f"{LOOP}:dataset_loss",
    ),
    "best_weights": Check(
        EXERCISE,
        training_tasks.best_weights,
        (
            "Ask Python: is best.params['W1'] the same object as params['W1']? The optimizer writes into that array.",
            "array.copy() makes a new array, once when you keep it and once more when you put it back. nan < anything is False.",
            "Better means math.isfinite(loss) and below self.loss. Then: the loss, a dict of copies, waited = 0; otherwise waited "
            "grows by 1. restore: params[name] becomes a copy, for each name kept.",
        ),
        f"{LOOP}:BestWeights",
    ),
    "run_epochs": Check(
        EXERCISE,
        training_tasks.run_epochs,
        (
            "A loop over epochs with two ways to leave early, and one way to come to its end.",
            "In each turn: run one_epoch() and keep what it returns; is that a finite number? Has best.waited reached patience?",
            'Return: "diverged" unless math.isfinite(loss); "patience" if patience is not None and waited is at least that; '
            'after the loop, "epochs".',
        ),
        f"{LOOP}:run_epochs",
    ),
    "update_ratio": Check(
        EXERCISE,
        function(training_tasks.ratio_cases, training_tasks.ratio, ""),
        (
            "Two lengths: of the step that was made, and of the weights before it.",
            "np.linalg.norm of an array is the root of the sum of its squared entries, for any shape.",
            "norm(after - before) / norm(before), but float('nan') when norm(before) is 0.",
        ),
        "exercise_code.diagnostics:update_ratio",
    ),
    "loss_curves": Check(
        EXERCISE,
        loss_tasks.loss_curves,
        (
            "For each curve three questions: does the training loss fall? Does the validation loss follow? Is it steady?",
            "One never leaves its start. One leaps. One falls so slowly that it is still far up. One has a validation loss that turns "
            "round, one a validation loss that is suspiciously good.",
            "The leaping one has a learning rate that is too high. A validation loss below the training loss at the end, close to 0, "
            "means that both were measured on the same images. What rises again has overfitted.",
        ),
    ),
}
