"""What a search weighs beside final values of metrics: how soon a trial is as good as ordinary training at its end."""

from collections.abc import Sequence

import numpy as np

from curriculum_search.direction import Direction
from curriculum_search.search.statistics.curves import reach

#: The share of a run's images after which its learning curve stays at or above the final value of ordinary training
#: at the base's settings (the baseline no_curriculum).  Of a run that ends below it, 1 plus the share of that value by
#: which it is off, so that less is always better.
IMAGES_TO_BASELINE = "images_to_baseline"


def images_to_baseline(images: Sequence[int], curve: Sequence[float], target: float, direction: Direction) -> float:
    """The objective of that name.

    Args:
        images: of the evaluations.
        curve: of the deciding metric.
        target: final value of ordinary training.
        direction: whether less or more of the metric is better.
    """
    sign = direction.sign
    gains = sign * np.asarray(curve, dtype=np.float64)
    (ratio,) = reach(np.asarray(images, dtype=np.float64), gains[None], np.array([sign * target]))
    return float(1 / ratio if ratio else 1 + (sign * target - gains[-1]) / max(abs(target), 1e-12))
