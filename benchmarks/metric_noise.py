"""What a metric at N samples can tell, on real images: ``python benchmarks/metric_noise.py [--draws 20]``.

Samples are real images that the reference does not contain, so a perfect metric would find nothing, and the same
images with Gaussian noise of 5 % of the grey range on them, as a model with a small fault would give them.  For each
metric and number of samples N the table has

- bias: the mean over random draws of N unspoilt images, which is what a perfect model would score;
- noise: the standard deviation over those draws, corrected for their overlap (sqrt(1 - N / pool));
- fault: how far the mean moves for spoilt images;
- fault / noise: how many standard deviations that is, of a single comparison of two models (noise times sqrt 2).

About ten minutes on one core, most of them on EfficientNet.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor

from curriculum_search.data import DataSource, Digits, ImageSet, MemoryImages, Relief
from curriculum_search.evaluation import Classifier, EfficientNetLite0, Extractor, Features, Pixels, Sources
from curriculum_search.evaluation.evaluator import compact
from curriculum_search.evaluation.frechet import Gaussian, Moments, frechet_distance
from curriculum_search.evaluation.inception_score import inception_score
from curriculum_search.evaluation.kernel import kernel_distance
from curriculum_search.evaluation.precision_recall import precision_recall

FAULT = 0.05 * 255
COUNTS = (125, 250, 500, 1_000, 2_000, 4_000)
SETS: tuple[tuple[DataSource, tuple[Extractor, ...]], ...] = (
    (Digits(), (Classifier(), Pixels())),
    (Relief(resolution=32), (Pixels(), EfficientNetLite0())),
)


def main() -> None:
    """Print a table for each data set and extractor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=20, help="random draws for each number of samples")
    draws = parser.parse_args().draws
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        for source, extractors in SETS:
            samples, reference = apart(source)
            sources = Sources(
                train=source.load(), reference=reference, device=torch.device("cpu"), cache_dir=Path(folder)
            )
            for extractor in extractors:
                print(f"\n{reference.name}, {extractor.label}, reference of {len(reference):,} images, {draws} draws\n")
                table(extractor.load(sources), samples, reference, draws)


def apart(source: DataSource) -> tuple[ImageSet, ImageSet]:
    """Images to draw samples from, and a reference without them."""
    train, reference = source.load(), source.reference()
    if train is not reference:
        return train, reference
    images, _ = train.read(np.arange(len(train)))
    halves = (MemoryImages(train.name, images[part::2].numpy(), None) for part in (0, 1))
    return next(halves), next(halves)


def table(features: Features, samples: ImageSet, reference: ImageSet, draws: int) -> None:
    """Print the values of all metrics on one extractor's features."""
    rng = np.random.default_rng(0)
    pool = rng.permutation(len(samples))[: COUNTS[-1]]
    real, probabilities = extracted(features, samples, pool, 0.0)
    spoilt, spoilt_probabilities = extracted(features, samples, pool, FAULT)
    target, _ = extracted(features, reference, rng.permutation(len(reference)), 0.0)
    moments = Moments(features.dimension)
    moments.update(target)
    gaussian = Gaussian.from_covariance(moments.mean(), moments.covariance(), len(target))
    print("| metric | N | bias | noise | fault | fault / noise |\n|---|---|---|---|---|---|")
    found: dict[str, list[str]] = {}
    for count in COUNTS:
        if count > 0.6 * len(pool):  # larger draws overlap so much that they hardly differ
            continue
        values: dict[str, list[tuple[float, float]]] = {}
        for _ in range(draws):
            chosen = torch.from_numpy(rng.choice(len(pool), count, replace=False))
            good = metrics(gaussian, target, real[chosen], probabilities, chosen)
            bad = metrics(gaussian, target, spoilt[chosen], spoilt_probabilities, chosen)
            for (name, a), (_, b) in zip(good, bad, strict=True):
                values.setdefault(name, []).append((a, b))
        for name, pairs in values.items():
            good, bad = np.array(pairs).T
            noise, fault = good.std(ddof=1) / np.sqrt(1 - count / len(pool)), bad.mean() - good.mean()
            cells = (name, compact(count), f"{good.mean():.3g}", f"{noise:.2g}", f"{fault:.3g}")
            found.setdefault(name, []).append(f"| {' | '.join(cells)} | {abs(fault) / (np.sqrt(2) * noise):.1f} |")
    for lines in found.values():
        print("\n".join(lines))


def extracted(features: Features, images: ImageSet, indices: np.ndarray, fault: float) -> tuple[Tensor, Tensor | None]:
    """Features, and probabilities where the extractor has them, of images with noise of deviation `fault`."""
    generator = torch.Generator().manual_seed(0)
    rows, probabilities = [], []
    for start in range(0, len(indices), 250):
        batch, _ = images.read(indices[start : start + 250])
        noise = fault * torch.randn(batch.shape, generator=generator)
        batch = (batch + noise).round().clamp(0, 255).to(torch.uint8)
        if features.num_classes:
            part, probability = features.with_probabilities(batch)
            probabilities.append(probability)
        else:
            part = features(batch)
        rows.append(part)
    return torch.cat(rows), torch.cat(probabilities) if probabilities else None


def metrics(
    gaussian: Gaussian, target: Tensor, rows: Tensor, probabilities: Tensor | None, chosen: Tensor
) -> Iterator[tuple[str, float]]:
    """All metrics of one draw."""
    moments = Moments(gaussian.dimension)
    moments.update(rows)
    yield "Frechet", frechet_distance(gaussian, moments.mean(), moments.covariance(), moments.count)
    size = min(len(rows), len(target), 500)
    yield "KID", kernel_distance(target, rows, num_subsets=20, subset_size=size)[0]
    manifold = target[: len(rows)]
    yield from zip(("precision", "recall"), precision_recall(manifold, rows), strict=True)
    if probabilities is not None:
        yield "IS", inception_score(probabilities[chosen])[0]


if __name__ == "__main__":
    main()
