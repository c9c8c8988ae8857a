"""What a detector is worth on labelled windows: area under the curve, and recall at a false positive rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def auc(scores: ArrayLike, positive: NDArray[np.bool_]) -> float:
    """Area under the receiver's curve (Mann-Whitney, ties count half); NaN without both classes."""
    values = np.asarray(scores, dtype=np.float64)
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return float("nan")
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2
    return float((rank[place][positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def threshold_at(scores: ArrayLike, positive: NDArray[np.bool_], false_rate: float) -> float:
    """The least score that at most `false_rate` of the negatives are strictly above."""
    negatives = np.sort(np.asarray(scores, dtype=np.float64)[~positive])
    return float(negatives[min(len(negatives) - 1, int(np.ceil((1 - false_rate) * len(negatives))) - 1)])


def recall_at(scores: ArrayLike, positive: NDArray[np.bool_], false_rate: float) -> float:
    """Share of positives strictly above that threshold."""
    values = np.asarray(scores, dtype=np.float64)
    if not positive.any() or positive.all():
        return float("nan")
    return float((values[positive] > threshold_at(values, positive, false_rate)).mean())
