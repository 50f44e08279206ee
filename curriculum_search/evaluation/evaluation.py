"""An evaluation: which metrics, on which samples, against what."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from curriculum_search import distributed
from curriculum_search.config import Config, later
from curriculum_search.data import DataSource, ImageSet
from curriculum_search.diffusion import DDIMSampler, Network, Process, Sampler
from curriculum_search.direction import Direction
from curriculum_search.evaluation.bank import FixedBank
from curriculum_search.evaluation.errors import Diverged
from curriculum_search.evaluation.evaluator import Evaluator
from curriculum_search.evaluation.evaluators import (
    Frechet,
    InceptionScore,
    KernelDistance,
    PrecisionRecall,
    ValidationLoss,
)
from curriculum_search.evaluation.evidence import Evidence, Samples
from curriculum_search.evaluation.features import Pixels, Sources, describe
from curriculum_search.evaluation.generation import MAX_SAMPLES, Generation
from curriculum_search.evaluation.prompts import read_prompts
from curriculum_search.evaluation.reference import References
from curriculum_search.evaluation.report import Row, Table, image_grid
from curriculum_search.evaluation.unfinished import Keeper
from curriculum_search.models.encoders import PIXELS, Encoder


@dataclass(frozen=True, kw_only=True)
class Evaluation(Config):
    """Everything that decides the numbers of an evaluation.

    Sample i is the same whatever evaluators there are and on any number of workers, and evaluators of different sample
    counts share samples: one pass of generation, as long as the largest count, feeds them all.

    Attributes:
        evaluators: the metrics of every evaluation.
        final_evaluators: what the end of a run, and jobs/evaluate.py, add to them.
        sampler: from noise to images; it has to fit the process.
        guidance_scale: weight of classifier-free guidance; 1 is none.
        batch_size: samples, and reference images, that go through the networks together.
        seed: of the samples and of the validation loss's noise.
        grid_images: samples in the grid.
        prompts: captions of one's own, whose samples the grid then has: a list, or a text file with one a line.
    """

    evaluators: tuple[Evaluator, ...] = (Frechet(num_samples=500), ValidationLoss())
    final_evaluators: tuple[Evaluator, ...] = (
        Frechet(extractor=Pixels(), num_samples=500),
        KernelDistance(num_samples=500, subset_size=250),
        PrecisionRecall(num_samples=500),
        InceptionScore(num_samples=500),
    )
    sampler: Sampler = field(default_factory=lambda: DDIMSampler(num_steps=8))
    guidance_scale: float = 1.0
    batch_size: int = 125
    seed: int = 0
    grid_images: int = 64
    prompts: tuple[str, ...] | str | None = later(None)

    def __post_init__(self) -> None:
        for name in ("batch_size", "grid_images"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.seed < 2**32 // MAX_SAMPLES:
            raise ValueError(f"seed of an evaluation must be in 0..{2**32 // MAX_SAMPLES - 1}, not {self.seed}")
        names = self.metric_names(final=True)
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"evaluators and final_evaluators yield {', '.join(repeated)} more than once")

    def active(self, *, final: bool) -> tuple[Evaluator, ...]:
        """The evaluators of an ordinary or of the final evaluation."""
        return self.evaluators + self.final_evaluators if final else self.evaluators

    def metric_names(self, *, final: bool) -> tuple[str, ...]:
        """The names of all values of an ordinary or of the final evaluation, without running anything."""
        return tuple(name for evaluator in self.active(final=final) for name in evaluator.names)

    @property
    def max_samples(self) -> int:
        """The largest sample count of all evaluators: the length of a seed block."""
        return max((need.num_samples for e in self.active(final=True) for need in e.needs), default=0)

    def direction(self, name: str) -> Direction:
        """Whether less or more of a metric is better.

        Raises:
            ValueError: no evaluator yields `name`.
        """
        for evaluator in self.active(final=True):
            if name in evaluator.names:
                return evaluator.direction
        raise ValueError(f"no evaluator yields {name!r}; there are {', '.join(self.metric_names(final=True))}")

    def check(self, process: Process, source: DataSource, encoder: Encoder = PIXELS) -> None:
        """Find, within seconds, what would fail or mislead after hours of training.

        Warns:
            UserWarning: a distance has fewer samples than features.

        Raises:
            ValueError, FileNotFoundError: the sampler does not fit the process; guidance without labels; training and
                reference images of different shape or classes; a reference of another dimension, or of too few images;
                labels, weights or packages that an extractor lacks.
        """
        self.sampler.check(process)
        train, reference = source.load(), source.reference()
        if self.guidance_scale != 1 and not train.conditions.can_be_dropped:
            raise ValueError(
                f"guidance_scale must be 1, not {self.guidance_scale}: {train.name} has {train.conditions.words}"
            )
        try:
            encoder.check_reference(train, reference)
        except ValueError as error:
            raise ValueError(f"{error} (data: {source.where})") from error
        try:
            train.conditions.check_reference(reference.conditions)
        except ValueError as error:
            raise ValueError(f"the reference, {reference.name}, {error}") from error
        if prompts := read_prompts(self.prompts):
            train.conditions.check_prompts(prompts)
        for part in ("evaluators", "final_evaluators"):
            for i, evaluator in enumerate(getattr(self, part)):
                try:
                    _check_decoded(evaluator, encoder)
                    evaluator.check(train, reference)
                except (ValueError, FileNotFoundError) as error:
                    raise type(error)(f"{part}.{i}: {error} (data: {source.where})") from error

    def build(
        self,
        *,
        process: Process,
        source: DataSource,
        train_set: ImageSet,
        device: torch.device,
        cache_dir: Path,
        encoder: Encoder = PIXELS,
    ) -> "EvaluationRun":
        """Load the extractors.  Every worker must call it; what is computed here is kept in `cache_dir`.

        Args:
            process: the noise process that the network is trained with.
            source: its reference is what samples are compared with.
            train_set: the training images: their shape and conditions are the samples'.
            device: where the network is.
            cache_dir: where weights and reference statistics are kept between runs.
            encoder: makes images of what the network was trained on.

        Raises:
            ValueError, FileNotFoundError: see `check`.
        """
        return EvaluationRun(
            self,
            process=process,
            reference=source.reference(),
            train_set=train_set,
            device=device,
            cache_dir=cache_dir,
            encoder=encoder,
        )


class EvaluationRun:
    """An `Evaluation` at work on one device, for as many networks as come."""

    def __init__(
        self,
        settings: Evaluation,
        *,
        process: Process,
        reference: ImageSet,
        train_set: ImageSet,
        device: torch.device,
        cache_dir: Path,
        encoder: Encoder,
    ) -> None:
        self.settings = settings
        self.generation = Generation(
            process=process,
            sampler=settings.sampler if encoder.bounded else settings.sampler.unclipped(),
            train_set=train_set,
            conditions=train_set.conditions.for_samples(reference.conditions),
            guidance_scale=settings.guidance_scale,
            seed=settings.seed,
            batch_size=settings.batch_size,
            device=device,
            encoder=encoder,
        )
        sources = Sources(train=train_set, reference=reference, device=device, cache_dir=cache_dir, encoder=encoder)
        # In the order of the configuration on every worker, since loading may be collective.
        extractors = dict.fromkeys(need.extractor for e in settings.active(final=True) for need in e.needs)
        features = {extractor: extractor.load(sources) for extractor in extractors}
        self._references = References(reference, features, cache_dir / "reference", device, settings.batch_size)
        self.reference = reference
        of_training = self.generation.conditions is train_set.conditions
        self._drawn_from = train_set.name if of_training else reference.name
        self._device = device
        self._banks: dict[tuple[int, int, int], FixedBank] = {}
        self._shown: tuple[Network, Tensor | None] | None = None

    def metric_names(self, *, final: bool) -> tuple[str, ...]:
        """See `Evaluation.metric_names`."""
        return self.settings.metric_names(final=final)

    def metrics(
        self, network: Network, *, final: bool, block: int = 0, keeper: Keeper | None = None
    ) -> dict[str, float]:
        """All values of an ordinary or of the final evaluation; the same on every worker, each of which must call it.

        Args:
            network: the averaged network in evaluation mode.
            final: also the final evaluators.
            block: which samples: seed block b starts at b times the largest sample count.  Training uses block 0.
            keeper: keeps what has been collected of the samples, for an evaluation that is interrupted.

        Raises:
            Diverged: a sample, feature, loss or value is not finite.
        """
        evaluators = self.settings.active(final=final)
        samples = self.collect(network, evaluators, block, keeper)
        if block == 0:
            self._shown = (network, samples.first_images)

        def bank_losses(num_images: int, num_levels: int) -> Tensor:
            return self._bank(num_images, num_levels, block).losses(network)

        evidence = Evidence(
            moments=samples.moments, rows=samples.rows, references=self._references, bank_losses=bank_losses
        )
        values: dict[str, float] = {}
        for evaluator in evaluators:
            found = dict(evaluator.evaluate(evidence))
            if tuple(found) != evaluator.names:
                raise RuntimeError(f"{describe(evaluator)} promised {evaluator.names} and yielded {tuple(found)}")
            values |= found
        if bad := [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]:
            raise Diverged("; ".join(bad))
        return values

    def collect(
        self, network: Network, evaluators: Sequence[Evaluator], block: int = 0, keeper: Keeper | None = None
    ) -> Samples:
        """Generate what `evaluators` need, in one pass, and keep what they need of it; every worker must call it."""
        needs = list(dict.fromkeys(need for evaluator in evaluators for need in evaluator.needs))
        samples = Samples(needs, self._references.features, self._device, num_kept=self.settings.grid_images)
        first, count = block * self.settings.max_samples, max((n.num_samples for n in needs), default=0)
        what, done = self.generation.words(f"samples {first} to {first + count - 1} for {needs}"), 0
        if keeper is not None and (kept := keeper.find(what)) is not None:
            samples.load_state_dict(kept["samples"])
            done = kept["blocks"]
        shared = -(-count // self.settings.batch_size) // distributed.world_size()  # blocks that every worker has
        for generated in self.generation.blocks(network, first, count, skipped=done):
            samples.add(generated, generated.first - first)
            done += 1
            if keeper is not None:
                state = partial(_unfinished, samples, done)
                keeper.after_block(what, state, together=done <= shared)
        samples.reduce()
        return samples

    def grid(self, network: Network) -> Tensor:
        """The first `grid_images` samples side by side, uint8 [C, H, W] on the CPU.  Needs the first worker only.

        They are those of the network's last evaluation, of which what that has not seen is generated, or of the
        prompts, where there are some.  Captions stand below theirs.
        """
        if prompts := read_prompts(self.settings.prompts):
            return image_grid(self.generation.prompted(network, prompts).images.cpu(), prompts)
        evaluated, seen = self._shown or (None, None)
        parts = [seen] if seen is not None and evaluated is network else []
        count = sum(map(len, parts))
        if count < self.settings.grid_images:
            block = self.generation.block(network, count, self.settings.grid_images - count)
            parts.append(block.images.cpu())
        images = torch.cat(parts)
        return image_grid(images, self.generation.titles(len(images)))

    def protocol(self) -> str:
        """How the numbers come about, in words, one line for each part.  Needs one worker only."""
        settings, generation = self.settings, self.generation
        guidance = "no guidance" if settings.guidance_scale == 1 else f"guidance scale {settings.guidance_scale:g}"
        lines = [
            f"samples: averaged (EMA) weights, {describe(generation.process)}, {describe(generation.sampler)}, "
            f"{guidance}, {generation.conditions.draws(self._drawn_from)}; sample i from generator seed "
            f"{settings.seed * MAX_SAMPLES:,} + i; {_decoding(generation.encoder)}"
        ]
        for evaluator in settings.active(final=True):
            lines.append(f"{', '.join(evaluator.names)}: {evaluator.words(self._references)}")
        return "\n".join(lines)

    def _bank(self, num_images: int, num_levels: int, block: int) -> FixedBank:
        key = (num_images, num_levels, block)
        if key not in self._banks:
            self._banks[key] = FixedBank(
                self.reference,
                self.generation.process,
                num_images,
                num_levels,
                seed=self.settings.seed + block,
                device=self._device,
                encoder=self.generation.encoder,
            )
        return self._banks[key]


def _decoding(encoder: Encoder) -> str:
    """What becomes of samples, in words."""
    if not encoder.decodes:
        return f"latents of {describe(encoder)}, not decoded"
    return "rounded to 8 bits" if encoder == PIXELS else f"decoded by {describe(encoder)}; rounded to 8 bits"


def _check_decoded(evaluator: Evaluator, encoder: Encoder) -> None:
    """Raise ValueError where an evaluator looks at images and nothing decodes them."""
    for need in evaluator.needs:
        if not (encoder.decodes or need.extractor.of_latents):
            raise ValueError(
                f"extractor must be latents, not {need.extractor.to_dict()['kind']}, where the encoder has no decoder "
                f"({describe(encoder)}): there are no images to look at"
            )


def _unfinished(samples: Samples, blocks: int) -> dict[str, Any]:
    """What is kept of an evaluation under way, after so many blocks of this worker."""
    return {"blocks": blocks, "samples": samples.state_dict()}


def evaluate(
    settings: Evaluation,
    *,
    network: Network,
    process: Process,
    source: DataSource,
    device: torch.device,
    cache_dir: Path,
    encoder: Encoder = PIXELS,
    num_blocks: int = 3,
    keeper: Callable[[int], Keeper] | None = None,
) -> Table:
    """The full evaluation of one network, over seed blocks: the work of jobs/evaluate.py.

    Blocks differ in their samples (and in the bank of the validation loss), so their spread is what the choice of seeds
    does to each number.  Reported is their mean, never the best.  Every worker must call it.

    Args:
        settings: what to evaluate, with the final evaluators.
        network: the averaged network in evaluation mode, on `device`.
        process: the noise process that it was trained with.
        source: the data that it was trained on.
        device: where it is.
        cache_dir: where weights and reference statistics are kept between runs.
        encoder: makes images of what the network was trained on.
        num_blocks: seed blocks.
        keeper: gives, for the number of a block, what keeps what was collected of it.

    Raises:
        ValueError, FileNotFoundError: see `Evaluation.check`.
        Diverged: see `EvaluationRun.metrics`.
    """
    if not 1 <= num_blocks <= MAX_SAMPLES // max(settings.max_samples, 1):
        raise ValueError(f"num_blocks must be in 1..{MAX_SAMPLES // max(settings.max_samples, 1)}, not {num_blocks}")
    settings.check(process, source, encoder)
    run = settings.build(
        process=process, source=source, train_set=source.load(), device=device, cache_dir=cache_dir, encoder=encoder
    )
    blocks = [
        run.metrics(network, final=True, block=block, keeper=keeper and keeper(block)) for block in range(num_blocks)
    ]
    rows = tuple(Row(name=name, values=tuple(values[name] for values in blocks)) for name in blocks[0])
    return Table(rows=rows, protocol=run.protocol(), grid=run.grid(network))
