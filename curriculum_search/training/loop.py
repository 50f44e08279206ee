"""The training loop: one linear function from a configuration to a finished run."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from curriculum_search import distributed
from curriculum_search.atomic import replacing
from curriculum_search.curriculum import CurriculumSampler, Switch
from curriculum_search.data import DataOrder, Prefetcher
from curriculum_search.diffusion import Histogram, LearnedWeighting
from curriculum_search.evaluation import Diverged, FixedBank, save_grid
from curriculum_search.experiment import Experiment, Resources
from curriculum_search.models import recompute
from curriculum_search.torch_imports import EagerAdamW
from curriculum_search.training.checkpoint import CHECKPOINT
from curriculum_search.training.ema import Ema
from curriculum_search.training.events import Schedule
from curriculum_search.training.learned import Learned
from curriculum_search.training.randomness import StepRandom, derive_seed, seed_device
from curriculum_search.training.saver import Saver
from curriculum_search.training.session import Interrupted, Report, Session
from curriculum_search.training.state import TrainingState
from curriculum_search.training.unfinished import UnfinishedEvaluation
from curriculum_search.training.writer import CheckpointWriter

#: The samples at a run's end, and the folder of those after earlier evaluations.
GRID, GRIDS = "samples.png", "samples"


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

    A run is evaluated, saved and reported at ``training.evaluation_points()``; in between it says how it is doing, and
    is saved, as its cadence has it.  Between these events the loop never waits for the device, save where the
    curriculum's own gate reads a window of losses, and several workers meet now and then (`events`).

    Args:
        experiment: what to train.  All workers are given the same.
        session: the home of this process: where it writes, what it computes on, whom it reports to, and whether it is
            to stop.
        cache_dir: where reference statistics are kept between runs.

    Raises:
        Diverged: a loss, weight or generated image is not finite.
        Interrupted: the session said "stop now", and the run has been saved.
        ValueError: something in the experiment does not fit the data, or the number of workers.
    """
    settings, resources, device = experiment.training, experiment.resources, session.device
    rank, world_size = distributed.rank(), distributed.world_size()
    experiment.check_workers(world_size)
    if device.type == "cpu":
        torch.set_num_threads(resources.cpus_per_worker)

    # What to learn from.
    images = experiment.data.load()
    images.conditions.prepare()
    process, weighting = experiment.process, experiment.weighting
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
    codec, shape = experiment.encoder.load(device), experiment.encoder.shape_of(images)
    blocks = experiment.model.blocks(network)
    halflife, rampup = settings.ema_halflife_images, settings.ema_rampup_share
    sharding = None
    if resources.sharding == "full" and world_size > 1:
        from curriculum_search.training.sharding import Sharding

        sharding = Sharding(network, blocks, device, halflife_images=halflife, rampup_share=rampup)
    ema = sharding.ema if sharding else Ema(network, halflife_images=halflife, rampup_share=rampup)
    if resources.activation_checkpointing:
        recompute(blocks)
    parameters = list(network.parameters())
    optimizer = (torch.optim.AdamW if settings.compile else EagerAdamW)(
        parameters,
        lr=settings.learning_rate,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=device.type == "cuda",
        foreach=device.type == "cpu",  # bit for bit what one parameter after the other gives, with less between them
    )
    learned = None
    if isinstance(weighting, LearnedWeighting):
        learned = Learned(weighting, settings, seed=experiment.seed, device=device)
    sampler = experiment.curriculum.build(
        process, experiment.density, settings.total_images, settings.batch_size, device
    )
    bank = None
    if sampler.needs_bank:
        bank = FixedBank(
            images,
            process,
            num_images=64,
            num_levels=64,
            seed=experiment.seed,
            device=device,
            encoder=experiment.encoder,
        )
    evaluation = experiment.evaluation.build(
        process=process,
        source=experiment.data,
        train_set=images,
        device=device,
        cache_dir=cache_dir,
        encoder=experiment.encoder,
    )

    # Where it was.
    path = session.run_dir / CHECKPOINT
    state = TrainingState(
        identity=experiment.identity(),
        network=network,
        ema=ema,
        optimizer=optimizer,
        sampler=sampler,
        device=device,
        sharding=sharding,
        learned=learned,
    )
    damage = state.restore(path)
    if damage and rank == 0:
        session.remark(damage)

    forward: nn.Module = torch.compile(network) if settings.compile else network  # type: ignore[assignment]
    if world_size > 1 and sharding is None:
        forward = nn.parallel.DistributedDataParallel(
            forward, device_ids=[device.index] if device.type == "cuda" else None
        )
    arithmetic = (
        torch.autocast(device.type, dtype=torch.bfloat16) if settings.precision == "bfloat16" else nullcontext()
    )
    batches = Prefetcher(
        images,
        DataOrder(len(images), experiment.seed),
        start=state.images_seen,
        batch_size=settings.batch_size,
        own=random.local,
        device=device,
        resident_bytes=_resident_bytes(resources, device),
    )
    schedule = Schedule(experiment, world_size)
    saver, saved_at = Saver(), time.monotonic()
    writer = CheckpointWriter(path, state, saver)
    with batches, saver:
        for report in state.reports:  # Whoever listens may not have heard what was said before an interruption.
            session.report(report)
        started = time.perf_counter()
        while state.images_seen < settings.total_images or not state.is_reported:
            # The clock stands still: evaluate, save, report.  A run that was left after the step before begins here.
            if state.images_seen in schedule.points and not state.is_reported:
                final = state.images_seen == settings.total_images
                with ema.whole() as averaged:
                    kept = UnfinishedEvaluation.of_run(
                        writer, averaged, session=session, cadence=experiment.cadence, saved_at=saved_at
                    )
                    report = _report(state, evaluation.metrics(averaged, final=final, keeper=kept), final=final)
                    if rank == 0 and experiment.cadence.grid_is_due(final=final):
                        # Before the checkpoint, which the run goes on from without looking back.
                        _save_grid(evaluation.grid(averaged), session.run_dir / grid_name(report))
                    state.end_evaluation(report)
                    writer.save()
                    saved_at = time.monotonic()
                writer.finish()  # What is reported can be gone on from.
                if rank == 0:
                    kept.clear()
                session.report(report)
                started = time.perf_counter()
                continue

            saver.check()
            images_seen = state.images_seen
            stored, condition = next(batches)
            seed_device(derive_seed(experiment.seed, "dropout", rank, images_seen), device)

            # Draw the noise levels from what the curriculum has unlocked, and the noise.
            q, importance = sampler.draw(random.uniforms("level", images_seen))
            noise = random.noise(shape, images_seen)
            if settings.horizontal_flip:
                flip = random.uniforms("flip", images_seen) < 0.5
                stored = torch.where(flip[:, None, None, None], stored.flip(-1), stored)
                condition = condition.mirror(flip)
            x = codec.encode(stored, random.noise(shape, images_seen, "encoder") if codec.draws else None)
            condition = condition.hide(random.uniforms("label", images_seen) < settings.label_dropout)
            log_snr = process.log_snr(q)
            fixed = weighting.weights(log_snr, process)
            weights = importance * fixed

            # One step on the weighted loss, in as many pieces as fit.
            _set_learning_rate(optimizer, experiment, images_seen)
            losses = []
            for part, last in _parts(len(x), settings.microbatch_size):
                later = isinstance(forward, nn.parallel.DistributedDataParallel) and not last
                if sharding is not None:
                    sharding.exchange_gradients(last)
                with forward.no_sync() if later else nullcontext():  # type: ignore[operator]
                    with arithmetic:
                        part_losses = process.losses(forward, x[part], q[part], noise[part], condition[part])
                    if learned is None:
                        loss = (weights[part] * part_losses).sum() / len(x)
                    else:
                        objective = learned.objective(fixed[part] * part_losses, log_snr[part])
                        loss = (importance[part] * objective).sum() / len(x)
                    loss.backward()  # type: ignore[no-untyped-call]
                losses.append(part_losses.detach())
            if settings.max_grad_norm is not None:
                nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if learned is not None:
                learned.step(settings.learning_rate_at(images_seen) / settings.learning_rate)
            if sharding is not None:
                sharding.share_buffers()
            state.images_seen += settings.batch_size
            ema.update(network, images_seen=state.images_seen, batch_size=settings.batch_size)

            # Tell the curriculum, and do what it decides.
            step_losses = torch.cat(losses)
            state.add_losses(step_losses)
            sampler.observe(q, step_losses)
            decision = sampler.update(state.images_seen, _bank_losses(bank, network))
            if decision.advances and experiment.curriculum.reset_ema:
                ema.reset(network)

            # What is due?  All workers find the same, or meet to agree on what one of them alone knows.
            due = schedule.after(state.images_seen)
            stop = due.asks and session.should_stop
            late = due.asks and experiment.cadence.overdue(time.monotonic() - saved_at)
            if not (due.meeting or stop or late):
                continue
            pace = schedule.pace.own_seconds
            agreed = state.gather(stop=stop, late=late, written=saver.done, step_seconds=pace)
            seconds = time.perf_counter() - started
            state.seconds += seconds
            schedule.met(agreed.step_seconds, seconds)
            if agreed.written:
                writer.commit()
            saves = agreed.stop or (not due.evaluation and (due.checkpoint or agreed.late))
            if (due.status or due.evaluation or saves) and not math.isfinite(state.train_loss):
                raise Diverged(f"the training loss is {state.train_loss} at {state.images_seen} images")
            if due.status:
                session.status(state.end_status())
            if saves:
                writer.save()
                saved_at = time.monotonic()
            if agreed.stop:
                writer.finish()  # Workers that leave may take those that write with them.
                raise Interrupted(state.images_seen)
            started = time.perf_counter()
    report = state.reports[-1]
    return TrainingResult(
        metrics=dict(report.metrics), images=state.images_seen, seconds=state.seconds, exposure=dict(report.exposure)
    )


def grid_name(report: Report) -> str:
    """Where in the run's folder the samples of an evaluation are."""
    return GRID if report.final else f"{GRIDS}/{report.images}.png"


def _resident_bytes(resources: Resources, device: torch.device) -> int:
    """How large training data may be to be kept on the device."""
    if device.type != "cuda":
        return 0
    part = min(resources.gpus_per_worker or 1.0, 1.0)
    return int(resources.gpu_data_share * part * torch.cuda.get_device_properties(device).total_memory)


def _save_grid(grid: Tensor, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as partial:
        save_grid(grid, partial)


def _parts(batch: int, size: int | None) -> Iterator[tuple[slice, bool]]:
    """The slices of a local batch that go through the network at once, each with whether it is the last."""
    size = size or batch
    for start in range(0, batch, size):
        yield slice(start, min(start + size, batch)), start + size >= batch


def _set_learning_rate(optimizer: torch.optim.Optimizer, experiment: Experiment, images_seen: int) -> None:
    rate = experiment.training.learning_rate_at(images_seen)
    for group in optimizer.param_groups:
        group["lr"] = rate


def _bank_losses(bank: FixedBank | None, network: nn.Module) -> Callable[[], Tensor] | None:
    if bank is None:
        return None

    def losses() -> Tensor:
        network.eval()
        values = bank.losses(network)
        network.train()
        return values

    return losses


def _report(state: TrainingState, metrics: dict[str, float], *, final: bool) -> Report:
    """What is said of an evaluation that yielded `metrics`."""
    sampler = state.sampler
    reported = sum(len(report.switches) for report in state.reports)
    return Report(
        images=state.images_seen,
        metrics=metrics
        | {
            "train_loss": state.train_loss,
            "images_per_second": state.images_per_second,
            "train_seconds": state.seconds,
            "stage": float(sampler.stage),
            "unlocked_share": sampler.unlocked_share,
        },
        switches=tuple(_plain(switch) for switch in sampler.history[reported:]),
        final=final,
        exposure=_exposure(sampler) if final else {},
    )


def _plain(switch: Switch) -> dict[str, Any]:
    return {"images": switch.images, "stage": switch.stage, "reason": switch.reason.value}


def _exposure(sampler: CurriculumSampler) -> dict[str, list[float]]:
    histogram = Histogram.of(sampler.exposure())
    return {"edges": list(histogram.edges), "mass": list(histogram.mass)}
