"""The Inception Score (Salimans et al. 2016, arXiv 1606.03498): exp of the mean KL divergence from p(y) to p(y|x)."""

import torch
from torch import Tensor


def inception_score(probabilities: Tensor, *, num_splits: int = 10) -> tuple[float, float]:
    """Mean and standard deviation of the score over `num_splits` consecutive parts of the samples.

    Args:
        probabilities: p(y|x) of each sample, [n, classes], rows summing to 1.
        num_splits: parts, each with its own p(y); the published protocol is 10 parts of 5,000.  Where n is no multiple
            of it, part i ends before sample (i + 1) n // num_splits, as in the published code.

    Returns:
        Between 1 (all samples look alike) and the number of classes.
    """
    scores = []
    rows = probabilities.to(torch.float64)
    for i in range(num_splits):
        part = rows[i * len(rows) // num_splits : (i + 1) * len(rows) // num_splits]
        marginal = part.mean(0, keepdim=True)
        divergence = torch.special.xlogy(part, part).sum(1) - torch.special.xlogy(part, marginal).sum(1)
        scores.append(divergence.mean().exp())
    values = torch.stack(scores)
    return float(values.mean()), float(values.std(correction=0))
