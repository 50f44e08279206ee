"""Where an evaluation's time goes, and its share of a quickstart trial: ``python benchmarks/evaluation.py``.

Runs one trial with the base settings of a study, search_spaces/quickstart.yaml unless another is named, and takes
processor time on one thread, which other programs on the machine disturb less than the clock on the wall.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from curriculum_search.evaluation import EvaluationRun, Features, FixedBank, evaluators
from curriculum_search.evaluation.frechet import Moments
from curriculum_search.evaluation.generation import Generation
from curriculum_search.experiment import Experiment
from curriculum_search.loading import read_yaml, validated
from curriculum_search.training import PlainSession, train

QUICKSTART = Path(__file__).parents[1] / "search_spaces" / "quickstart.yaml"


class Clock:
    """Processor seconds by part; the time of a part inside another belongs to the inner one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stack: list[tuple[str, float]] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = time.process_time()
        self._stack.append((name, 0.0))
        try:
            yield
        finally:
            _, inside = self._stack.pop()
            elapsed = time.process_time() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + elapsed - inside
            if self._stack:
                outer, known = self._stack[-1]
                self._stack[-1] = (outer, known + elapsed)

    def wrapped(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """`function`, whose time counts as `name`."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return timed


def main() -> None:
    """Train, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", type=Path, default=QUICKSTART, help="a study file")
    study = parser.parse_args().study
    torch.set_num_threads(1)
    experiment = validated(Experiment, read_yaml(study)["base"], str(study))
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        run = experiment.evaluation.build(
            process=experiment.process,
            source=experiment.data,
            train_set=experiment.data.load(),
            device=torch.device("cpu"),
            cache_dir=cache,
            encoder=experiment.encoder,
        )
        # What is computed once for all trials of all studies is not a part of any.
        clock = Clock()
        with clock.part("classifier and reference, once for all trials"):
            run.metrics(experiment.build_network(experiment.data.load()).eval(), final=True)
        once = clock.seconds
        clock = Clock()
        watch(clock)
        with clock.part("training"):
            train(experiment, PlainSession(run_dir=Path(folder), device=torch.device("cpu")), cache)
    evaluations = experiment.training.num_evaluations
    parts = {name: seconds for name, seconds in clock.seconds.items() if name != "training"}
    print(
        f"processor seconds of the {evaluations} evaluations of a trial of {study.name}, the last one with everything"
    )
    for name, seconds in sorted(parts.items(), key=lambda pair: -pair[1]):
        print(f"  {name:<32}{seconds:8.2f}  {seconds / sum(parts.values()):6.1%}")
    total = sum(parts.values())
    print(f"training {clock.seconds['training']:.2f}, evaluation {total:.2f} (once, before: {sum(once.values()):.2f})")
    print(f"share of the trial: all evaluations {total / (total + clock.seconds['training']):.1%}, ", end="")
    print(f"one of them {total / evaluations / (total + clock.seconds['training']):.1%}")


def watch(clock: Clock) -> None:
    """Put the clock around the parts of an evaluation."""
    parts: list[tuple[Any, str, str]] = [
        (EvaluationRun, "metrics", "kernel distance, precision, rest"),
        (EvaluationRun, "grid", "sample grid"),
        (Generation, "block", "sampling"),
        (FixedBank, "losses", "validation loss"),
        (Moments, "update", "statistics"),
        (evaluators, "frechet_distance", "Frechet distances"),
    ]
    for extractor in Features.__subclasses__():
        parts += [(extractor, "__call__", "features"), (extractor, "with_probabilities", "features")]
    for owner, name, part in parts:
        setattr(owner, name, clock.wrapped(getattr(owner, name), part))


if __name__ == "__main__":
    main()
