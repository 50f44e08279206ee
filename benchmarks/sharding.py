"""What sharding saves of a worker's memory, and what it costs: ``python benchmarks/sharding.py``.

Trains a DiT of the given width and depth on digits for a few steps, in processes that speak through gloo on this
machine's processors: with all of the state in each of them, with its part, and with its part and blocks that are
computed again.  Memory is what Linux says of a process beyond what it had before its network: after a step, the most
within a step, and the most from an evaluation until its checkpoint is on the disk.
"""

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from curriculum_search.evaluation import Evaluation, ValidationLoss
from curriculum_search.experiment import Cadence, Experiment, Resources, Training
from curriculum_search.models import DiT
from curriculum_search.training import PlainSession, Report, StatusReport, train

MB = 1e6
SETTINGS: dict[str, dict[str, Any]] = {
    "none": {},
    "full": {"sharding": "full"},
    "full, recomputed": {"sharding": "full", "activation_checkpointing": True},
}


@dataclass
class Session(PlainSession):
    """Looks at this process's memory after each step and evaluation."""

    before: float = 0.0
    rest: list[float] = field(default_factory=list)
    most: list[float] = field(default_factory=list)
    evaluation: float = 0.0
    seconds: list[float] = field(default_factory=list)
    last: float = 0.0

    def status(self, status: StatusReport) -> None:
        self.rest.append(memory("VmRSS") - self.before)
        self.most.append(memory("VmHWM") - self.before)
        self.seconds.append(time.perf_counter() - self.last)
        forget_the_most()
        self.last = time.perf_counter()

    def report(self, report: Report) -> None:
        self.evaluation = memory("VmHWM") - self.before


def memory(name: str) -> float:
    """What Linux says of this process, in MB: VmRSS, or VmHWM, the most since `forget_the_most`."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024 / MB


def forget_the_most() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def experiment(arguments: argparse.Namespace, name: str) -> Experiment:
    return Experiment(
        model=DiT(
            patch_size=arguments.patch_size,
            hidden_size=arguments.hidden_size,
            depth=arguments.depth,
            num_heads=arguments.hidden_size // 64,
        ),
        training=Training(
            total_images=arguments.steps * arguments.batch_size,
            batch_size=arguments.batch_size,
            microbatch_size=arguments.microbatch_size,
            num_evaluations=1,
        ),
        evaluation=Evaluation(
            evaluators=(ValidationLoss(num_images=2, num_levels=2, num_intervals=2),),
            final_evaluators=(),
            grid_images=1,
        ),
        resources=replace(Resources(workers=arguments.workers), **SETTINGS[name]),
        cadence=Cadence(status_images=arguments.batch_size),
    )


def worker(rank: int, folder: Path, arguments: argparse.Namespace, name: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=arguments.workers)
    session = Session(run_dir=folder, device=torch.device("cpu"), before=memory("VmRSS"), last=time.perf_counter())
    train(experiment(arguments, name), session, folder / "cache")
    if rank == 0:
        # The first step asks the system for its memory.
        megabytes = (max(session.rest[1:]), max(session.most[1:]), session.evaluation)
        written = sum(path.stat().st_size for path in folder.glob("checkpoint*.pt")) / MB
        seconds = statistics.median(session.seconds[1:])
        print(f"{name:18}" + "".join(f"{each:12,.0f}" for each in (*megabytes, written)) + f"{seconds:12.2f}")
    dist.barrier()
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden-size", type=int, default=768, help="a multiple of 64 (default: that of DiT-B)")
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--patch-size", type=int, default=2, help="of 8x8 images")
    parser.add_argument("--batch-size", type=int, default=16, help="over all workers")
    parser.add_argument("--microbatch-size", type=int, help="of one worker")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    arguments = parser.parse_args()

    network = experiment(arguments, "none").build_network(experiment(arguments, "none").data.load())
    parameters = sum(p.numel() for p in network.parameters())
    del network
    print(
        f"{parameters / 1e6:.0f} M parameters, {4 * parameters / MB:,.0f} MB; {arguments.workers} workers; MB of one:"
    )
    print(f"{'':18}{'at rest':>12}{'in a step':>12}{'evaluation':>12}{'on disk':>12}{'s a step':>12}", flush=True)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    for name in arguments.settings:
        with tempfile.TemporaryDirectory() as folder:
            spawn(worker, args=(Path(folder), arguments, name), nprocs=arguments.workers)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
