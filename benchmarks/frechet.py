"""The Frechet distance beside `scipy.linalg.sqrtm` and `eigvals(S1 S2)`: ``python benchmarks/frechet.py``.

Gaussians are estimated from 3 d samples with a spectrum over four orders of magnitude, as features have.  Each way is
given means and covariances and timed in processor seconds (the least of several runs, taken in turns), on one thread
unless OMP_NUM_THREADS says otherwise.  Ours has the reference factored, as it is cached; what that costs once is shown
beside it.  The error is against the sum of singular values of the factors, which needs the samples themselves.
About two minutes.
"""

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from curriculum_search.evaluation.frechet import Gaussian, frechet_distance

Array = NDArray[np.float64]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[64, 1280, 2048], help="numbers of features")
    dimensions = parser.parse_args().dimensions
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    print("| d | ours [s] | factoring, once [s] | sqrtm / ours | eigvals / ours | error ours | sqrtm | eigvals |")
    print("|---|---|---|---|---|---|---|---|")
    for d in dimensions:
        print(row(d), flush=True)


def row(d: int) -> str:
    """One line of the table."""
    x, y = samples(d, 0), samples(d, 1)
    a, b = ((z - z.mean(0)) / np.sqrt(len(z) - 1) for z in (x, y))
    mean1, mean2, cov1, cov2 = x.mean(0), y.mean(0), a.T @ a, b.T @ b
    shift = float(np.sum((mean1 - mean2) ** 2) + np.trace(cov1) + np.trace(cov2))
    first, second = (torch.linalg.qr(torch.from_numpy(z), mode="r").R for z in (a, b))
    exact = shift - 2 * float(torch.linalg.svdvals(first @ second.T).sum())

    tensors = [torch.from_numpy(z) for z in (mean1, cov1, mean2, cov2)]
    reference = Gaussian.from_covariance(tensors[0], tensors[1])
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: frechet_distance(reference, tensors[2], tensors[3], len(y)),
        "factoring": lambda: Gaussian.from_covariance(tensors[0], tensors[1]),
        "sqrtm": lambda: shift - 2 * np.trace(np.real(sqrtm(cov1 @ cov2))),
        "eigvals": lambda: shift - 2 * np.sqrt(np.linalg.eigvals(cov1 @ cov2).astype(complex)).real.sum(),
    }
    seconds = dict.fromkeys(ways, np.inf)
    values: dict[str, object] = {}
    for _ in range(2 if d > 500 else 20):
        for name, way in ways.items():
            start = time.process_time()
            values[name] = way()
            seconds[name] = min(seconds[name], time.process_time() - start)
    errors = [f"{abs(float(values[name]) - exact) / exact:.0e}" for name in ("ours", "sqrtm", "eigvals")]  # type: ignore[arg-type]
    ratios = [f"{seconds[name] / seconds['ours']:.1f}" for name in ("sqrtm", "eigvals")]
    cells = [str(d), f"{seconds['ours']:.4f}", f"{seconds['factoring']:.4f}", *ratios, *errors]
    return f"| {' | '.join(cells)} |"


def samples(d: int, seed: int) -> Array:
    """3 d vectors with correlated entries."""
    rng = np.random.default_rng(seed)
    common = np.random.default_rng(9).normal(size=(d, d))
    mix = (common + 0.1 * rng.normal(size=(d, d))) * np.exp(-np.linspace(0, 4.6, d))
    values: Array = rng.normal(size=(3 * d, d)) @ mix + 0.1 * seed
    return values


if __name__ == "__main__":
    main()
