"""The training loop: one linear function from a configuration to a finished run."""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from curriculum_search import distributed
from curriculum_search.curriculum import CurriculumSampler, Switch
from curriculum_search.data import DataOrder, Prefetcher
from curriculum_search.evaluation import Diverged, EvaluationRun, FixedBank, save_grid
from curriculum_search.experiment import Experiment
from curriculum_search.training import checkpoint
from curriculum_search.training.ema import Ema
from curriculum_search.training.randomness import StepRandom, derive_seed
from curriculum_search.training.session import Report, Session

CHECKPOINT = "checkpoint.pt"
GRID = "samples.png"


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """How a run ended.

    Attributes:
        metrics: the last report's values.
        images: images seen.
        seconds: time spent in training steps, evaluation left out, over all the processes that the run was resumed in.
        exposure: share of its draws in each interval of the noise quantile q: ``{"edges": [...], "mass": [...]}``.
    """

    metrics: dict[str, float]
    images: int
    seconds: float
    exposure: dict[str, list[float]]


def train(experiment: Experiment, session: Session, cache_dir: Path) -> TrainingResult:
    """Train `experiment` to its end, from its last checkpoint if there is one.

    Evaluations, checkpoints and reports happen together at ``training.evaluation_points()``; between them the loop
    never waits for the device, save where the curriculum's own gate reads a window of losses.

    Args:
        experiment: what to train.  All workers are given the same.
        session: the home of this process: where it writes, what it computes on, whom it reports to.
        cache_dir: where reference statistics are kept between runs.

    Raises:
        Diverged: a loss, weight or generated image is not finite.
        ValueError: something in the experiment does not fit the data, or the number of workers.
    """
    settings, device = experiment.training, session.device
    rank, world_size = distributed.rank(), distributed.world_size()
    experiment.check_workers(world_size)
    if device.type == "cpu":
        torch.set_num_threads(experiment.resources.cpus_per_worker)

    # What to learn from.
    images = experiment.data.load()
    process = experiment.process
    random = StepRandom(
        seed=experiment.seed,
        batch_size=settings.batch_size,
        noise_shards=settings.noise_shards,
        rank=rank,
        world_size=world_size,
        device=device,
    )

    # What learns.  Weights depend on the seed and the model alone, so all arms of a study start from the same ones.
    torch.manual_seed(derive_seed(experiment.seed, "weights"))
    network = experiment.build_network(images).to(device)
    ema = Ema(network, halflife_images=settings.ema_halflife_images, rampup_share=settings.ema_rampup_share)
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=settings.learning_rate,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=device.type == "cuda",
    )
    sampler = experiment.curriculum.build(
        process, experiment.density, settings.total_images, settings.batch_size, device
    )
    bank = None
    if sampler.needs_bank:
        bank = FixedBank(images, process, num_images=64, num_levels=64, seed=experiment.seed, device=device)
    evaluation = experiment.evaluation.build(
        process=process, source=experiment.data, train_set=images, device=device, cache_dir=cache_dir
    )

    # Where it was.
    path = session.run_dir / CHECKPOINT
    state = _load(path, experiment, device)
    images_seen, seconds, reports = 0, 0.0, list[Report]()
    if state is not None:
        network.load_state_dict(state["network"])
        ema.network.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        sampler.load_state_dict(state["sampler"])
        images_seen, seconds = state["images"], state["seconds"]
        reports = [Report(**report) for report in state["reports"]]

    forward: nn.Module = torch.compile(network) if settings.compile else network  # type: ignore[assignment]
    if world_size > 1:
        forward = nn.parallel.DistributedDataParallel(
            forward, device_ids=[device.index] if device.type == "cuda" else None
        )
    arithmetic = (
        torch.autocast(device.type, dtype=torch.bfloat16) if settings.precision == "bfloat16" else nullcontext()
    )
    loss_sum = torch.zeros((), dtype=torch.float64, device=device)
    points = [p for p in settings.evaluation_points() if p > images_seen]
    batches = Prefetcher(
        images,
        DataOrder(len(images), experiment.seed),
        start=images_seen,
        batch_size=settings.batch_size,
        own=random.local,
        device=device,
    )
    shape = (images.channels, images.resolution, images.resolution)
    with batches:
        for report in reports:  # Whoever listens may not have heard what was said before an interruption.
            session.report(report)
        for point in points:
            started, first = time.perf_counter(), images_seen
            loss_sum.zero_()
            while images_seen < point:
                x, labels = next(batches)
                torch.manual_seed(derive_seed(experiment.seed, "dropout", rank, images_seen))

                # Draw the noise levels from what the curriculum has unlocked, and the noise.
                q, importance = sampler.draw(random.uniforms("level", images_seen))
                noise = random.noise(shape, images_seen)
                if settings.horizontal_flip:
                    flip = random.uniforms("flip", images_seen) < 0.5
                    x = torch.where(flip[:, None, None, None], x.flip(-1), x)
                if labels is not None:
                    hidden = random.uniforms("label", images_seen) < settings.label_dropout
                    labels = torch.where(hidden, images.num_classes, labels)
                weights = importance * experiment.weighting.weights(process.log_snr(q), process)

                # One step on the weighted loss, in as many pieces as fit.
                _set_learning_rate(optimizer, experiment, images_seen)
                losses = []
                for part, last in _parts(len(x), settings.microbatch_size):
                    later = isinstance(forward, nn.parallel.DistributedDataParallel) and not last
                    with forward.no_sync() if later else nullcontext():  # type: ignore[operator]
                        with arithmetic:
                            part_losses = process.losses(
                                forward, x[part], q[part], noise[part], None if labels is None else labels[part]
                            )
                        loss = (weights[part] * part_losses).sum() / len(x)
                        loss.backward()  # type: ignore[no-untyped-call]
                    losses.append(part_losses.detach())
                if settings.max_grad_norm is not None:
                    nn.utils.clip_grad_norm_(network.parameters(), settings.max_grad_norm)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                images_seen += settings.batch_size
                ema.update(network, images_seen=images_seen, batch_size=settings.batch_size)

                # Tell the curriculum, and do what it decides.
                step_losses = torch.cat(losses)
                loss_sum += step_losses.sum()
                sampler.observe(q, step_losses)
                decision = sampler.update(images_seen, _bank_losses(bank, network))
                if decision.advances and experiment.curriculum.reset_ema:
                    ema.reset(network)
            mean_loss = float(distributed.all_reduce_sum(loss_sum)) / (point - first)
            elapsed = time.perf_counter() - started
            seconds += elapsed

            # The clock stands still from here: evaluate, save, report.
            final = point == settings.total_images
            metrics = _evaluate(evaluation, ema.network, mean_loss=mean_loss, images_seen=images_seen, final=final)
            metrics |= {
                "train_loss": mean_loss,
                "images_per_second": (point - first) / elapsed,
                "train_seconds": seconds,
                "stage": float(sampler.stage),
                "unlocked_share": sampler.unlocked_share,
            }
            reported = sum(len(report.switches) for report in reports)
            report = Report(
                images=images_seen,
                metrics=metrics,
                switches=tuple(_plain(switch) for switch in sampler.history[reported:]),
                final=final,
                exposure=_exposure(sampler) if final else {},
            )
            reports.append(report)
            if rank == 0:
                if final:
                    save_grid(evaluation.grid(ema.network), session.run_dir / GRID)
                checkpoint.save(
                    path,
                    {
                        "identity": experiment.identity(),
                        "images": images_seen,
                        "seconds": seconds,
                        "reports": [asdict(report) for report in reports],
                        "network": network.state_dict(),
                        "ema": ema.network.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "sampler": sampler.state_dict(),
                    },
                )
            distributed.barrier()
            session.report(report)
    return TrainingResult(
        metrics=dict(reports[-1].metrics), images=images_seen, seconds=seconds, exposure=dict(reports[-1].exposure)
    )


def _load(path: Path, experiment: Experiment, device: torch.device) -> dict[str, Any] | None:
    if not path.exists():
        return None
    state = checkpoint.load(path, device)
    if state["identity"] != experiment.identity():
        raise ValueError(f"{path} belongs to another experiment ({state['identity']}, not {experiment.identity()})")
    return state


def _parts(batch: int, size: int | None) -> Iterator[tuple[slice, bool]]:
    """The slices of a local batch that go through the network at once, each with whether it is the last."""
    size = size or batch
    for start in range(0, batch, size):
        yield slice(start, min(start + size, batch)), start + size >= batch


def _set_learning_rate(optimizer: torch.optim.Optimizer, experiment: Experiment, images_seen: int) -> None:
    rate = experiment.training.learning_rate_at(images_seen)
    for group in optimizer.param_groups:
        group["lr"] = rate


def _bank_losses(bank: FixedBank | None, network: nn.Module) -> Any:
    if bank is None:
        return None

    def losses() -> Tensor:
        network.eval()
        values = bank.losses(network)
        network.train()
        return values

    return losses


def _evaluate(
    evaluation: EvaluationRun, network: nn.Module, *, mean_loss: float, images_seen: int, final: bool
) -> dict[str, float]:
    if not torch.isfinite(torch.tensor(mean_loss)):
        raise Diverged(f"the training loss is {mean_loss} at {images_seen} images")
    return evaluation.metrics(network, final=final)


def _plain(switch: Switch) -> dict[str, Any]:
    return {"images": switch.images, "stage": switch.stage, "reason": switch.reason.value}


def _exposure(sampler: CurriculumSampler) -> dict[str, list[float]]:
    histogram = sampler.exposure().to_histogram()
    return {"edges": list(histogram.edges), "mass": list(histogram.mass)}
