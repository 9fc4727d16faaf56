"""Checks of exercise 05: folds, early stopping of hopeless runs, model-based search, ensembles, a controller."""

from exercise_code.checks import bayes_tasks, fold_tasks, halving_tasks
from exercise_code.checks.core import Check

EXERCISE = "05_model_search"
SEARCH = "exercise_code.hyperparameter_tuning"

CHECKS = {
    "kfold_indices": Check(
        EXERCISE,
        fold_tasks.kfold_indices,
        (
            "Give every sample the number of the fold that holds it out; the rest is two lines.",
            "Shuffle all positions with rng.permutation(size), then deal them out: the i-th of them goes to fold i modulo k. "
            "np.flatnonzero turns a condition into increasing positions.",
            "For stratified folds put the shuffled positions in the order of their labels before you deal, with a sort that "
            "leaves equal ones in place (argsort of the labels of the shuffled positions, kind='stable').",
        ),
        home="exercise_code.cross_validation:kfold_indices",
    ),
    "halving_survivors": Check(
        EXERCISE,
        halving_tasks.halving_survivors,
        (
            "Sort the positions by value, cut, and drop what is not finite.",
            "np.argsort(values, kind='stable') gives positions, best first, and puts nan last. How many to keep is a whole "
            "division, and never less than one.",
            "Of the first max(1, n // eta) positions return those whose value passes np.isfinite, as a list.",
        ),
        home=f"{SEARCH}.successive_halving:successive_halving_survivors",
    ),
    "elimination_rounds": Check(
        EXERCISE,
        halving_tasks.elimination_rounds,
        (
            "Run the slide's loop on paper for 27 configurations, and compare each line with the figure below it.",
            "Three lines are wrong: when the loop ends, how many configurations leave, and that nothing says what happens "
            "to a rest. The epochs of a round are its budget divided by its configurations, rounded down.",
            "Append the pair first, then stop if one configuration was left, else go on with n // eta of them, or with one if that is 0.",
        ),
    ),
    "hyperband_table": Check(
        EXERCISE,
        halving_tasks.hyperband_table,
        (
            "Three steps: find s_max by counting, then loop over s from s_max down to 0, then one pair per rung.",
            "s_max: count up as long as eta ** (s + 1) still is at most R. Bracket s has s + 1 rungs; all numbers stay whole with `//`.",
            "A ceil without floats is -(-a // b). The pair of rung i is n // eta**i and R // eta**(s - i). The lecture's rule "
            "takes the floor before it multiplies, the published one takes the ceil of the whole product.",
        ),
        home=f"{SEARCH}.hyperband:hyperband_brackets",
    ),
    "expected_improvement": Check(
        EXERCISE,
        bayes_tasks.expected_improvement,
        (
            "Write z down first. Phi is scipy.special.ndtr; phi(z) = exp(-z * z / 2) / sqrt(2 pi).",
            "np.where computes both of its branches: divide by a std in which the zeros have been replaced by 1, and put the "
            "right value there afterwards.",
            "For std > 0 it is gain * Phi(z) + std * phi(z) with gain = best - mean; for std = 0 it is gain; then cut off below 0.",
        ),
        home=f"{SEARCH}.gaussian_process:expected_improvement",
    ),
    "next_configuration": Check(
        EXERCISE,
        bayes_tasks.next_configuration,
        (
            "Put two candidates with accuracies 0.3 and 0.9 into the slide's formula. Which one wins?",
            "You have a function for the expected improvement of a loss. What has to change to use it for an accuracy?",
            "Turn the accuracies around, mean and best alike (the std stays), and return the position of the largest entry.",
        ),
    ),
    "split_good_bad": Check(
        EXERCISE,
        bayes_tasks.split_good_bad,
        (
            "Sort, cut, drop what is not finite; the bad ones are all that are not good.",
            "math.ceil(gamma * n) of the stable order are good, if they are finite. nan sorts to the end by itself; -inf does not.",
            "np.setdiff1d of all positions and the good ones gives the others in increasing order.",
        ),
        home=f"{SEARCH}.tpe:split_good_bad",
    ),
    "propose_by_ratio": Check(
        EXERCISE,
        bayes_tasks.propose_by_ratio,
        (
            "Draw from good, score with both, return the row with the highest score.",
            "log(l / g) = log l - log g, and the largest logarithm belongs to the largest ratio: no exponential is needed.",
            "good.sample(rng, candidates) gives rows; np.argmax of the difference of the two log_density results says which row.",
        ),
        home=f"{SEARCH}.tpe:propose_by_ratio",
    ),
    "ensemble_probabilities": Check(
        EXERCISE,
        fold_tasks.ensemble_probabilities,
        (
            "Softmax of each member along the classes, then a weighted mean along the members.",
            "Subtract the maximum along the last axis (keepdims=True), exponentiate, divide by the sum along that axis.",
            "Divide the weights by their sum and let them meet axis 0: weights[:, None, None] times the probabilities, summed over axis 0.",
        ),
    ),
    "policy_gradient": Check(
        EXERCISE,
        fold_tasks.policy_gradient,
        (
            "log softmax(x)[a] is x[a] - log(sum(exp(x))). Differentiate both terms.",
            "The first gives 1 at the drawn option and 0 elsewhere, the second gives the probabilities, which `policy` computes.",
            "Start from minus the probabilities, add 1 at the drawn option, and multiply everything by the advantage.",
        ),
        home=f"{SEARCH}.reinforce:policy_gradient",
    ),
}
