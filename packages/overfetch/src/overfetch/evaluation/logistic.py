"""A small logistic regression, and what it says of questions that it was not fitted on."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

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
    """For each question the mean probability by fits that did not see it; folds have both labels in proportion."""
    draw = np.random.default_rng(SEED)
    total = np.zeros(len(labels))
    for _ in range(REPEATS):
        shuffled = draw.permutation(len(labels))
        folds = np.empty(len(labels), dtype=int)
        folds[shuffled[np.argsort(labels[shuffled], kind="stable")]] = np.arange(len(labels)) % FOLDS
        for fold in range(FOLDS):
            seen = folds != fold
            total[~seen] += fit(features[seen], labels[seen]).probabilities(features[~seen])
    return total / REPEATS
