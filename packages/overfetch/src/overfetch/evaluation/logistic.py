"""A small logistic regression, and what it says of questions that it was not fitted on."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

PENALTY = 1.0  # on the squared weights of standardised features: a hundred questions bear little freedom
STEPS = 25  # of Newton's method, which needs fewer
FOLDS, REPEATS, SEED = 5, 20, 7


class Logistic(NamedTuple):
    """Probability 1 / (1 + exp(-(bias + weights * features)))."""

    weights: Vector
    bias: float

    def probabilities(self, features: Vector) -> Vector:
        logits = features @ self.weights + self.bias
        return 1 / (1 + np.exp(-np.clip(logits, -500, 500)))


def fit(features: Vector, labels: Vector) -> Logistic:
    """Of `features` (questions x features) and labels 0 and 1, by Newton's method; the bias bears no penalty."""
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    design = np.column_stack([(features - mean) / spread, np.ones(len(features))])
    penalty = np.diag([*[PENALTY] * features.shape[1], 1e-9])
    weights = np.zeros(design.shape[1])
    for _ in range(STEPS):
        expected = Logistic(weights, 0.0).probabilities(design)
        slope = design.T @ (labels - expected) - penalty @ weights
        curvature = (design.T * (expected * (1 - expected))) @ design + penalty
        weights = weights + np.linalg.solve(curvature, slope)
    scaled = weights[:-1] / spread
    return Logistic(scaled, float(weights[-1] - scaled @ mean))


def cross_validated(features: Vector, labels: Vector) -> Vector:
    """For each question the mean probability by fits that did not see it."""
    draw = np.random.default_rng(SEED)
    total = np.zeros(len(labels))
    for _ in range(REPEATS):
        for fold in folds(labels, draw):
            total[fold] += fit(features[~fold], labels[~fold]).probabilities(features[fold])
    return total / REPEATS


def folds(labels: Vector, draw: np.random.Generator) -> list[Mask]:
    """The questions of each; they have all labels in proportion."""
    shuffled = draw.permutation(len(labels))
    of = np.empty(len(labels), dtype=int)
    of[shuffled[np.argsort(labels[shuffled], kind="stable")]] = np.arange(len(labels)) % FOLDS
    return [of == fold for fold in range(FOLDS)]
