"""What a curriculum costs: drawing the noise levels of a batch, its gate included, beside drawing them uniformly.

    python benchmarks/sampler.py [--device cuda] [--batch-size 256] [--step-milliseconds 50]

Every row is a whole step of the curriculum: uniform random numbers, `draw`, the process's timesteps, `observe`, and
`update` with what its gate reads.  The first row is what training does without any of it, uniform timesteps from
torch.rand.  Rows take turns in one run, so that a busy machine slows all of them.  On CUDA, `draw` and `observe` run
once more with every synchronisation made an error.  Evaluating a fixed bank is not the sampler's work and not in here.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from curriculum_search.curriculum import Curriculum, CurriculumSampler, Newest, NoOrder, Pacing, Plateau, Replay
from curriculum_search.diffusion import DDPM, Density, LossSecondMoment, Uniform

ROUNDS, STEPS_PER_ROUND = 15, 200
TOTAL_STEPS = 10_000_000  # Long enough that every row stays inside its first stages, where its gate is at work.


def cases() -> dict[str, tuple[Curriculum, Density]]:
    """Every pacing and gate, accumulation and kind of density, by the name of its row."""
    default = Curriculum()
    pacings: dict[str, Pacing] = {kind: Pacing.from_dict({"kind": kind}) for kind in sorted(Pacing.kinds())}
    pacings |= {f"plateau, {gate} gate": Plateau(gate=gate) for gate in ("raw", "smoothed", "bank")}
    del pacings["plateau"]
    rows: dict[str, tuple[Curriculum, Density]] = {"no curriculum": (Curriculum(order=NoOrder()), Uniform())}
    rows |= {name: (replace(default, pacing=pacing), Uniform()) for name, pacing in pacings.items()}
    rows["linear, newest"] = (replace(default, accumulation=Newest()), Uniform())
    rows["linear, replay, equal"] = (replace(default, accumulation=Replay(), union_density="equal"), Uniform())
    rows["loss second moment"] = (Curriculum(order=NoOrder()), LossSecondMoment())
    rows["loss second moment, raw gate"] = (replace(default, pacing=Plateau()), LossSecondMoment())
    return rows


def uniform_step(process: DDPM, batch_size: int, device: torch.device) -> Callable[[], Tensor]:
    """Ordinary training's draw of timesteps."""

    def step() -> Tensor:
        return (torch.rand(batch_size, device=device) * process.num_timesteps).long()

    return step


def curriculum_step(
    sampler: CurriculumSampler, process: DDPM, batch_size: int, device: torch.device
) -> Callable[[], Tensor]:
    """A step of the curriculum, with losses that are there already."""
    losses = torch.rand(batch_size, device=device)
    bank_losses = torch.rand(64, dtype=torch.float64)
    images_seen = 0

    def step() -> Tensor:
        nonlocal images_seen
        q, _ = sampler.draw(torch.rand(batch_size, device=device))
        timesteps = process.level(q)
        sampler.observe(q, losses)
        images_seen += batch_size
        sampler.update(images_seen, lambda: bank_losses)
        return timesteps

    return step


def seconds_per_step(step: Callable[[], Tensor], device: torch.device) -> float:
    """The mean over one round, the device's work included."""
    start = time.perf_counter()
    for _ in range(STEPS_PER_ROUND):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / STEPS_PER_ROUND


def check_no_synchronisation(sampler: CurriculumSampler, batch_size: int, device: torch.device) -> None:
    """Raise a RuntimeError if drawing or observing makes the host wait for the GPU."""
    losses = torch.rand(batch_size, device=device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            q, _ = sampler.draw(torch.rand(batch_size, device=device))
            sampler.observe(q, losses)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", type=torch.device)
    parser.add_argument("--batch-size", default=256, type=int)
    parser.add_argument("--step-milliseconds", default=50.0, type=float, help="a training step, to compare with")
    arguments = parser.parse_args()
    device, batch_size = arguments.device, arguments.batch_size
    torch.set_num_threads(1)

    process = DDPM()
    steps = {"uniform timesteps": uniform_step(process, batch_size, device)}
    for name, (curriculum, density) in cases().items():
        sampler = curriculum.build(process, density, TOTAL_STEPS * batch_size, batch_size, device)
        if device.type == "cuda":
            check_no_synchronisation(sampler, batch_size, device)
        steps[name] = curriculum_step(sampler, process, batch_size, device)

    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            times[name].append(seconds_per_step(step, device))
    baseline = statistics.median(times["uniform timesteps"])
    print(f"{batch_size} noise levels on {device}: median of {ROUNDS} rounds of {STEPS_PER_ROUND} steps")
    print(f"{'':32}{'us a step':>10}{'ratio':>8}{f'of {arguments.step_milliseconds:g} ms':>12}")
    for name, seconds in times.items():
        median = statistics.median(seconds)
        share = 1e3 * median / arguments.step_milliseconds
        print(f"{name:32}{1e6 * median:10.1f}{median / baseline:8.1f}{share:12.3%}")
    if device.type == "cuda":
        print("draw and observe ran without synchronisation in every row")


if __name__ == "__main__":
    main()
