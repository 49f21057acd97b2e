# SPDX-License-Identifier: MIT
"""Ask how many trees of the paper's criterion could be spared without changing the choice.

    .venv/bin/python benchmarks/giving_up.py --mirror DIR

The criterion is F1 of a forest on the validation set, and the candidate with the highest is kept.
A forest need not be grown further once the best F1 that it could still reach lies below the best
so far. A row's score is the mean of the trees' probabilities, so after k of n trees with sum s it
is known on which side of one half it ends if s > n/2 or s + n - k < n/2; the best case is that all
other rows end on the right side. Here candidates fill the groups of patient-treatment by SMOTE
with one seed each, and are judged one after the other. Printed is the share of trees that had to
be grown, over several orders of the candidates; an order in which the best comes first is the
least that is possible.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from imblearn.over_sampling import SMOTE
from sklearn.ensemble import RandomForestClassifier

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(ROOT / "benchmarks")]

from sampling import halves  # noqa: E402

from mcrage.config.classifiers import RandomForest  # noqa: E402


def best_f1_still_possible(votes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the highest F1 that a forest can end with, after each of its trees.

    Parameters
    ----------
    votes : ndarray of float64, shape (n, m)
        Probability of the positive level by each tree.
    truth : ndarray of int64, shape (m,)

    Returns
    -------
    ndarray of float64, shape (n,)
        The last is the F1 itself.
    """
    n = len(votes)
    sums, left = votes.cumsum(axis=0), n - np.arange(1, n + 1)[:, None]
    # As the workflow decides: positive from one half on.
    positive = sums >= n / 2
    negative = sums + left < n / 2
    hits = np.sum((truth == 1) & ~negative, axis=1)
    alarms = np.sum((truth == 0) & positive, axis=1)
    misses = np.sum((truth == 1) & negative, axis=1)
    return 2 * hits / np.maximum(2 * hits + alarms + misses, 1)


def share_of_trees(possible: np.ndarray, order: np.ndarray) -> float:
    """Return which share of all trees is grown if candidates come in this order.

    Parameters
    ----------
    possible : ndarray of float64, shape (candidates, n)
        See `best_f1_still_possible`.
    order : ndarray of int64, shape (candidates,)
    """
    best, grown = -1.0, 0
    for candidate in order:
        hopeless = np.flatnonzero(possible[candidate] <= best)
        grown += int(hopeless[0]) + 1 if len(hopeless) else possible.shape[1]
        best = max(best, float(possible[candidate, -1]))
    return grown / possible.size


def main() -> None:
    """Grow all forests, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mirror", help="folder with patient-treatment/data-ori.csv")
    parser.add_argument("--candidates", type=int, default=25)
    arguments = parser.parse_args()
    train, held = halves(arguments.mirror)
    forest = RandomForest(kind="random_forest").resolved({})
    n_validation = len(held.groups) // 5
    truth = held.schema.target_of(held.groups[:n_validation])
    possible = []
    for seed in range(arguments.candidates):
        rows, groups = SMOTE(random_state=seed).fit_resample(train.features, train.groups)
        grown = RandomForestClassifier(
            n_estimators=forest["n_trees"],
            max_depth=forest["max_depth"],
            min_samples_split=forest["min_samples_split"],
            min_samples_leaf=forest["min_samples_leaf"],
            random_state=0,
        ).fit(rows, train.schema.target_of(groups))
        votes = [
            tree.predict_proba(held.features[:n_validation])[:, 1] for tree in grown.estimators_
        ]
        possible.append(best_f1_still_possible(np.array(votes), truth))
    possible = np.array(possible)
    found = possible[:, -1]
    rng = np.random.default_rng(0)
    shares = [share_of_trees(possible, rng.permutation(len(found))) for _ in range(200)]
    least = share_of_trees(possible, np.argsort(-found, kind="stable"))
    print(f"{len(found)} forests of {possible.shape[1]} trees, {n_validation} validation rows")
    print(f"F1 {found.min():.3f} to {found.max():.3f}, standard deviation {found.std():.3f}")
    print(f"trees to be grown: {np.mean(shares):.1%} in a random order, {least:.1%} best first")


if __name__ == "__main__":
    main()
