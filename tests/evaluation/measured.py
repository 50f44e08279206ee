"""Measures images that are made of integers, with one kind of processor's arithmetic; started by test_any_processor.py.

Usage: measured.py TRAINING_IMAGES FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from curriculum_search.conditions import Unconditional
from curriculum_search.data import Digits, to_float
from curriculum_search.evaluation import (
    Classifier,
    Evaluator,
    Extractor,
    Frechet,
    InceptionScore,
    KernelDistance,
    Pixels,
    PrecisionRecall,
    Sources,
)
from curriculum_search.evaluation.evidence import Evidence, Samples
from curriculum_search.evaluation.generation import Block
from curriculum_search.evaluation.reference import References

COUNT, BATCH = 500, 125


def measure(classifier: Classifier, cache_dir: Path) -> dict[str, float]:
    """The metrics of 500 images: each the mean of a digit and of another that is shifted into the black margin."""
    extractors: tuple[Extractor, ...] = (classifier, Pixels(), Pixels(num_components=62))
    digits, cpu = Digits().load(), torch.device("cpu")
    pixels = digits.read(np.arange(2 * COUNT))[0].int()
    images = ((pixels[:COUNT] + pixels[COUNT:].roll(1, 3)) // 2).to(torch.uint8)
    sources = Sources(train=digits, reference=digits, device=cpu, cache_dir=cache_dir)
    features = {extractor: extractor.load(sources) for extractor in extractors}
    evaluators: list[Evaluator] = [InceptionScore(extractor=classifier, num_samples=COUNT)]
    for extractor in extractors:
        evaluators += [
            Frechet(extractor=extractor, num_samples=COUNT),
            KernelDistance(extractor=extractor, num_samples=COUNT, subset_size=250),
            PrecisionRecall(extractor=extractor, num_samples=COUNT),
        ]
    samples = Samples([need for evaluator in evaluators for need in evaluator.needs], features, cpu)
    for start in range(0, COUNT, BATCH):
        taken = images[start : start + BATCH]
        block = Block(
            first=start,
            values=to_float(taken),
            images=taken,
            condition=Unconditional(),
            finite=torch.tensor(True),
        )
        samples.add(block, start)
    samples.reduce()
    evidence = Evidence(
        moments=samples.moments,
        rows=samples.rows,
        references=References(digits, features, cache_dir, cpu, BATCH),
        bank_losses=lambda images, levels: torch.empty(0),
    )
    return dict(pair for evaluator in evaluators for pair in evaluator.evaluate(evidence))


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(measure(Classifier(training_images=int(sys.argv[1])), Path(sys.argv[2]))))
