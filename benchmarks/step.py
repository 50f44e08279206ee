"""Where a training step goes: milliseconds of one processor's time, of the network that the quickstart trains.

    python benchmarks/step.py                             one table, about half a minute
    python benchmarks/step.py --against ../other          beside another checkout, the two in turn

Processor time, not time on the clock, so that others at work on the machine matter less; the least of all repeats.  The
whole step is what `train` takes, its start, evaluations and end left out: a run of 140 steps less one of 20.
"""

import argparse
import copy
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn

from curriculum_search.data import to_float
from curriculum_search.evaluation import ValidationLoss
from curriculum_search.experiment import Experiment
from curriculum_search.search.load import load_study
from curriculum_search.training import PlainSession, train
from curriculum_search.training.ema import Ema
from curriculum_search.training.randomness import StepRandom

STUDY_FILE = Path(__file__).parents[1] / "search_spaces" / "quickstart.yaml"
LONG, SHORT = 140, 20  # steps


def experiment(steps: int) -> Experiment:
    """The quickstart's, of so many steps and one cheap evaluation."""
    base = load_study(STUDY_FILE, {}).base
    return replace(
        base,
        training=replace(base.training, total_images=steps * base.training.batch_size, num_evaluations=1),
        evaluation=replace(base.evaluation, evaluators=(ValidationLoss(),), final_evaluators=()),
    )


def whole_step() -> float:
    """Milliseconds of a step of `train`."""
    seconds = []
    for steps in (LONG, SHORT):
        with tempfile.TemporaryDirectory() as folder:
            session = PlainSession(run_dir=Path(folder), device=torch.device("cpu"))
            run = experiment(steps)
            start = time.process_time()
            train(run, session, Path(folder) / "cache")
            seconds.append(time.process_time() - start)
    return 1e3 * (seconds[0] - seconds[1]) / (LONG - SHORT)


def parts() -> dict[str, Callable[[], object]]:
    """What a step is made of, and what it might be made of."""
    run = experiment(LONG)
    settings, images = run.training, run.data.load()
    batch = settings.batch_size
    torch.manual_seed(0)
    network = run.build_network(images)
    pixels, labels = images.read(np.arange(batch))
    x, q, noise = to_float(pixels), torch.rand(batch), torch.randn(pixels.shape)
    random = StepRandom(
        seed=0,
        batch_size=batch,
        noise_shards=settings.noise_shards,
        rank=0,
        world_size=1,
        device=torch.device("cpu"),
    )
    parameters = list(network.parameters())
    ema = Ema(network, halflife_images=settings.ema_halflife_images, rampup_share=settings.ema_rampup_share)

    def network_alone() -> None:
        for parameter in parameters:
            parameter.grad = None
        run.process.losses(network, x, q, noise, labels).mean().backward()  # type: ignore[no-untyped-call]

    def draws() -> None:
        random.noise(x.shape[1:], 0)
        for purpose in ("level", "label"):
            random.uniforms(purpose, 0)

    network_alone()
    found: dict[str, Callable[[], object]] = {
        "network, forward and backward": network_alone,
        "random numbers": draws,
        "gradient norm": lambda: nn.utils.clip_grad_norm_(parameters, 1.0),
        "average of the weights": lambda: ema.update(network, images_seen=64_000, batch_size=batch),
    }
    for name, foreach, fused in (
        ("AdamW, all parameters together", True, False),
        ("  (not used: one parameter after the other)", False, False),
        ("  (not used: fused, other in the last digit)", False, True),
    ):
        own = copy.deepcopy(network)
        for parameter, other in zip(own.parameters(), parameters, strict=True):
            parameter.grad = None if other.grad is None else other.grad.clone()
        found[name] = torch.optim.AdamW(own.parameters(), lr=settings.learning_rate, foreach=foreach, fused=fused).step
    return found


def milliseconds(part: Callable[[], object], calls: int = 5) -> float:
    """Of one call."""
    start = time.process_time()
    for _ in range(calls):
        part()
    return 1e3 * (time.process_time() - start) / calls


def show_table(repeats: int) -> None:
    """Print the least time of each part."""
    everything = parts()
    times: dict[str, list[float]] = {name: [] for name in everything}
    for _ in range(repeats):
        for name, part in everything.items():
            times[name].append(milliseconds(part))
    whole = min(whole_step() for _ in range(3))
    for name, values in times.items():
        print(f"{name:48}{min(values):8.2f} ms")
    used = sum(min(values) for name, values in times.items() if not name.startswith(" "))
    print(f"{'the rest: images, noise levels, bookkeeping':48}{whole - used:8.2f} ms")
    print(f"{'a whole step':48}{whole:8.2f} ms")


def show_against(other: Path, repeats: int) -> None:
    """Print the ratio of whole steps, this checkout's over another's, each pair measured one after the other."""
    ratios = []
    for _ in range(repeats):
        found = []
        for folder in (Path(__file__).parents[1], other):
            environment = os.environ | {"PYTHONPATH": str(folder.resolve())}
            command = [sys.executable, str(Path(__file__).resolve()), "--only-step"]
            found.append(float(subprocess.run(command, env=environment, check=True, capture_output=True).stdout))
        ratios.append(found[0] / found[1])
        print(f"here {found[0]:.2f} ms, there {found[1]:.2f} ms, ratio {ratios[-1]:.3f}", flush=True)
    print(f"median ratio {median(ratios):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--only-step", action="store_true", help="print the milliseconds of a whole step alone")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.only_step:
        print(whole_step())
    elif arguments.against:
        show_against(arguments.against, arguments.repeats)
    else:
        show_table(arguments.repeats)


if __name__ == "__main__":
    main()
