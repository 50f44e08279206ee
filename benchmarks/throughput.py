"""Training speed on latents beside the loop that DiT published: images a second, and where the rest of a step goes.

    python benchmarks/throughput.py --dit DIR                                      three sizes of DiT; bfloat16 on a GPU
    python benchmarks/throughput.py --dit DIR --models S/4 --batch 32 --steps 5    what a processor can do

DIR is a clone of facebookresearch/DiT, which needs ``pip install timm``.  Both train the same network with learned
variances, AdamW and a moving average on 1,000 classes of 4x32x32 latents that have been encoded: their loop, as it is
in their train.py, with their network and loss, the latents in memory; ours from a file, by `train`, between two of its
status reports.  On a GPU both are timed under torch.compile as well.

*Network alone* is forward, backward and optimiser of our network on one batch, again and again; what a step of `train`
takes beyond that is its *rest*: levels, noise, data, moving average.  *Of the peak* counts the operations of torch's
FlopCounterMode against what the card's maker states for dense bfloat16.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from published_latents import module
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from curriculum_search.conditions import ClassCondition
from curriculum_search.data import Latents
from curriculum_search.diffusion import DDPM
from curriculum_search.evaluation import Evaluation, ValidationLoss
from curriculum_search.experiment import Cadence, Experiment, Resources, Training
from curriculum_search.models import DiT
from curriculum_search.models.encoders import Undecoded
from curriculum_search.training import PlainSession, StatusReport, train

CHANNELS, SIDE, CLASSES, IMAGES = 4, 32, 1000, 4096
SIZES = {"S/4": (384, 12, 6, 4), "B/2": (768, 12, 12, 2), "L/2": (1024, 24, 16, 2)}  # width, depth, heads, patch
PEAK_TFLOPS = {"H100": 989.0, "H200": 989.0, "A100": 312.0}  # dense bfloat16, of NVIDIA's data sheets


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is timed.

    Attributes:
        size: of the network, as DiT names it.
        batch: images a step.
        steps: that are timed.
        precision: of `Training`.
        device: what computes.
        folder: for files.
    """

    size: str
    batch: int
    steps: int
    precision: str
    device: torch.device
    folder: Path

    @contextmanager
    def cast(self) -> Iterator[None]:
        """Autocast as `Training.precision` asks for it."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            yield

    def seconds(self, step: Callable[[], object], warm_up: int = 3) -> float:
        """Of one call of `step`, over `steps` of them."""
        for _ in range(warm_up):
            step()
        self.wait()
        began = time.perf_counter()
        for _ in range(self.steps):
            step()
        self.wait()
        return (time.perf_counter() - began) / self.steps

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def main() -> None:
    """Time, and print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dit", type=Path, required=True, help="a clone of facebookresearch/DiT")
    parser.add_argument("--models", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--precision", choices=("float32", "bfloat16"))
    parser.add_argument("--peak", type=float, help="of the card in TFLOP/s; known of H100, H200 and A100")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "processor"
    peak = arguments.peak or next((value for card, value in PEAK_TFLOPS.items() if card in name), None)
    precision = arguments.precision or ("bfloat16" if device.type == "cuda" else "float32")
    print(f"{name}, {precision}, batch {arguments.batch}; images a second, and ours over theirs")
    with tempfile.TemporaryDirectory() as folder:
        write_latents(Path(folder))
        for size in arguments.models:
            case = Case(
                size=size,
                batch=arguments.batch,
                steps=arguments.steps,
                precision=precision,
                device=device,
                folder=Path(folder),
            )
            print(row(case, arguments.dit, peak), flush=True)


def row(case: Case, dit: Path, peak: float | None) -> str:
    """The line of a size."""
    words = [f"DiT-{case.size}"]
    compiles = (False, True) if case.device.type == "cuda" else (False,)
    for compiled in compiles:
        theirs, ours = published(case, dit, compiled=compiled), native(case, compiled=compiled)
        alone, flops = network_alone(case, compiled=compiled)
        words.append(
            f"{'compiled' if compiled else 'eager'}: {case.batch / ours:,.1f} against {case.batch / theirs:,.1f} "
            f"({theirs / ours:.2f} times), rest of the step {100 * (1 - alone / ours):.1f} %"
            + (f", {100 * flops / ours / 1e12 / peak:.0f} % of the peak" if peak else "")
        )
    return "; ".join(words)


def published(case: Case, dit: Path, *, compiled: bool) -> float:
    """Seconds a step of the loop of DiT's train.py, from latents in memory."""
    models, diffusion = module(dit / "models.py"), module(dit / "diffusion" / "__init__.py").create_diffusion("")
    torch.manual_seed(0)
    model = models.DiT_models[f"DiT-{case.size}"](input_size=SIDE, num_classes=CLASSES).to(case.device).train()
    ema = deepcopy(model).requires_grad_(False)
    opt = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0)
    called = torch.compile(model) if compiled else model
    latents = torch.from_numpy(np.load(case.folder / "latents.npy")).to(case.device)
    labels = torch.from_numpy(np.load(case.folder / "labels.npy")).to(case.device)
    running_loss = 0.0

    def step() -> None:
        nonlocal running_loss
        rows = torch.randint(len(latents), (case.batch,), device=case.device)
        x, y = latents[rows], labels[rows]
        t = torch.randint(0, diffusion.num_timesteps, (x.shape[0],), device=case.device)
        with case.cast():
            loss = diffusion.training_losses(called, x, t, {"y": y})["loss"].mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        with torch.no_grad():
            for average, parameter in zip(ema.parameters(), model.parameters(), strict=True):
                average.mul_(0.9999).add_(parameter.data, alpha=1 - 0.9999)
        running_loss += loss.item()

    return case.seconds(step)


def native(case: Case, *, compiled: bool) -> float:
    """Seconds a step of ours, from the file."""
    with tempfile.TemporaryDirectory(dir=case.folder) as run_dir:
        session = Timed(run_dir=Path(run_dir), device=case.device)
        train(configured(case, compiled=compiled), session, case.folder / "cache")
    return (session.times[1] - session.times[0]) / case.steps


class Timed(PlainSession):
    """A session that knows when it was told how the run is doing, which is when the device has done all before."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.times: list[float] = []

    def status(self, status: StatusReport) -> None:
        self.times.append(time.perf_counter())


def configured(case: Case, *, compiled: bool) -> Experiment:
    """The training that DiT published, three times as long as is timed, and one small evaluation."""
    width, depth, heads, patch = SIZES[case.size]
    return Experiment(
        data=Latents(
            path=str(case.folder / "latents.npy"), labels_path=str(case.folder / "labels.npy"), layout="sample"
        ),
        encoder=Undecoded(scale=1.0),
        process=DDPM(schedule="linear", learned_variance=True),
        model=DiT(patch_size=patch, hidden_size=width, depth=depth, num_heads=heads),
        training=Training(
            total_images=3 * case.steps * case.batch,
            batch_size=case.batch,
            learning_rate=1e-4,
            betas=(0.9, 0.999),
            max_grad_norm=None,
            label_dropout=0.1,
            precision=case.precision,  # type: ignore[arg-type]
            compile=compiled,
            num_evaluations=1,
        ),
        evaluation=Evaluation(
            evaluators=(ValidationLoss(num_images=8, num_levels=10, num_intervals=5),),
            final_evaluators=(),
            grid_images=1,
        ),
        cadence=Cadence(status_images=case.steps * case.batch),
        resources=Resources(gpus_per_worker=float(case.device.type == "cuda")),
    )


def network_alone(case: Case, *, compiled: bool) -> tuple[float, float]:
    """Seconds of forward, backward and optimiser of our network on one batch, and their floating point operations."""
    experiment = configured(case, compiled=compiled)
    process = experiment.process
    network: nn.Module = experiment.build_network(experiment.data.load()).to(case.device).train()
    called: Any = torch.compile(network) if compiled else network
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=0.0)
    x = torch.randn(case.batch, CHANNELS, SIDE, SIDE, device=case.device)
    q, noise = torch.rand(case.batch, device=case.device), torch.randn_like(x)
    condition = ClassCondition.of(torch.randint(CLASSES, (case.batch,), device=case.device))

    def backward() -> None:
        with case.cast():
            losses: Tensor = process.losses(called, x, q, noise, condition)
        losses.mean().backward()  # type: ignore[no-untyped-call]

    def step() -> None:
        optimizer.zero_grad()
        backward()
        optimizer.step()

    seconds = case.seconds(step)
    called = network
    with FlopCounterMode(display=False) as counter:
        backward()
    return seconds, float(counter.get_total_flops())


def write_latents(folder: Path) -> None:
    """Random latents and classes, as a user's files."""
    random = np.random.default_rng(0)
    np.save(folder / "latents.npy", random.standard_normal((IMAGES, CHANNELS, SIDE, SIDE), dtype=np.float32))
    np.save(folder / "labels.npy", random.permutation(np.arange(IMAGES) % CLASSES))


if __name__ == "__main__":
    main()
