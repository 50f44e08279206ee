"""How long a training step waits for a checkpoint: ``python benchmarks/checkpoints.py``.

Trains a DiT of the given width and depth and saves it every so many steps, once so that the step waits for the disk and
once in the background, in turns.  A wait is what a step with a checkpoint takes beyond one without; the disk is that of
``--folder``.  With ``--device cuda`` the copy goes to pinned memory.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from curriculum_search.conditions import Unconditional, Unconditioned
from curriculum_search.curriculum import Curriculum
from curriculum_search.experiment import Experiment
from curriculum_search.models import DiT
from curriculum_search.training.ema import Ema
from curriculum_search.training.saver import Saver
from curriculum_search.training.state import TrainingState

BATCH, RESOLUTION = 8, 16


def untrained(hidden_size: int, depth: int, device: torch.device) -> TrainingState:
    """A state whose network sees 16x16 colour images."""
    experiment = Experiment(
        model=DiT(patch_size=4, hidden_size=hidden_size, depth=depth, num_heads=hidden_size // 64),
        curriculum=Curriculum(),
    )
    network = experiment.model.build(channels=3, out_channels=3, resolution=RESOLUTION, conditions=Unconditioned()).to(
        device
    )
    return TrainingState(
        identity="benchmark",
        network=network,
        ema=Ema(network, halflife_images=1_000, rampup_share=0.05),
        optimizer=torch.optim.AdamW(network.parameters()),
        sampler=experiment.curriculum.build(experiment.process, experiment.density, 10**6, BATCH, device),
        device=device,
    )


def step(state: TrainingState) -> float:
    """Seconds of one training step, with its end on the device."""
    started = time.perf_counter()
    x = torch.randn(BATCH, 3, RESOLUTION, RESOLUTION, device=state.device)
    state.network(x, torch.rand(BATCH, device=state.device), Unconditional()).square().mean().backward()
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.images_seen += BATCH
    state.ema.update(state.network, images_seen=state.images_seen, batch_size=BATCH)
    if state.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def saved(state: TrainingState, saver: Saver, path: Path, *, background: bool) -> float:
    """Seconds until the next step can begin."""
    started = time.perf_counter()
    saver.save({path: state.state_dict()})
    if not background:
        saver.wait()
    if state.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--steps", type=int, default=30, help="steps after each checkpoint")
    parser.add_argument("--repeats", type=int, default=5, help="checkpoints of either kind")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--folder", type=Path, help="where checkpoints are written (default: a temporary folder)")
    arguments = parser.parse_args()

    state = untrained(arguments.hidden_size, arguments.depth, torch.device(arguments.device))
    waits: dict[bool, list[float]] = {False: [], True: []}
    alone, beside = list[float](), list[float]()  # seconds of steps, without and with a write beside them
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder, Saver() as saver:
        path = Path(folder, "checkpoint.pt")
        for number in range(2 * (arguments.repeats + 1)):
            background = bool(number % 2)
            wait = saved(state, saver, path, background=background)
            for _ in range(arguments.steps):
                (alone if saver.done else beside).append(step(state))
            saver.wait()
            if number >= 2:  # The first of either kind asks the system for its memory.
                waits[background].append(wait)
        megabytes = path.stat().st_size / 1e6
    parameters = sum(p.numel() for p in state.network.parameters()) / 1e6
    print(f"{parameters:.0f} M parameters, a checkpoint of {megabytes:.0f} MB, {arguments.device}; seconds:")
    for name, seconds in (
        ("a step waits for the disk", waits[False]),
        ("a step waits for the copy", waits[True]),
        ("a step without a write beside it", alone),
        ("a step with a write beside it", beside),
    ):
        if seconds:
            print(f"  {name:34} median {statistics.median(seconds):7.3f}   most {max(seconds):7.3f}")
    ratio = statistics.median(waits[False]) / statistics.median(waits[True])
    print(f"in the background a step waits 1/{ratio:.0f} of the time")


if __name__ == "__main__":
    main()
