"""One training run as a strict, serialisable configuration: what a trial trains and what jobs/train.py takes."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from curriculum_search.config import Config, later
from curriculum_search.curriculum import Curriculum, MeasuredOrder, MeasuredPartition, Moving
from curriculum_search.data import DataSource, Digits, ImageSet
from curriculum_search.diffusion import DDPM, Density, NoWeighting, Process, Uniform, Weighting
from curriculum_search.direction import Direction
from curriculum_search.evaluation import Evaluation
from curriculum_search.evaluation.evaluator import FeatureEvaluator
from curriculum_search.experiment.cadence import Cadence
from curriculum_search.experiment.resources import Resources
from curriculum_search.experiment.trainer import CommandTrainer, NativeTrainer, OwnTrainer, Trainer
from curriculum_search.experiment.training import Training
from curriculum_search.models import DiT, Model, check_shards
from curriculum_search.models.encoders import PIXELS, Encoder
from curriculum_search.torch_imports import without_values

#: What training code of the user's own has of an experiment, by dotted path; the rest is of our own loop.
OF_OWN_TRAINERS = (
    *("trainer", "process", "density", "curriculum", "resources", "cadence", "seed", "plugins"),
    *("training.total_images", "training.batch_size", "training.num_evaluations"),
)


_NATIVE = NativeTrainer()


@dataclass(frozen=True, kw_only=True)
class Experiment(Config):
    """Everything that decides how a run comes out.

    Attributes:
        data: the images.
        encoder: what the network sees of the images, and the way back.
        process: the noise process and what the network predicts.
        density: base density of training noise levels over the noise quantile q.
        weighting: weight of the loss by noise level.
        model: the network.
        curriculum: in which order, clusters and pacing the noise levels are unlocked.
        training: the optimisation.
        evaluation: the metrics and how images are generated for them.
        resources: workers and processors; like the cadence, no part of the run's identity.
        cadence: how often the run says how it is doing and is saved; neither changes what is trained.
        trainer: who trains: our loop, or code of the user's own, for which `OF_OWN_TRAINERS` is all that counts.
        seed: of the weights, the data's order and the noise.  Runs with one seed share all three.
        plugins: Python files that define kinds of one's own, read before anything else in this file.
    """

    data: DataSource = field(default_factory=Digits)
    encoder: Encoder = later(PIXELS)  # noqa: RUF009
    process: Process = field(default_factory=DDPM)
    density: Density = field(default_factory=Uniform)
    weighting: Weighting = field(default_factory=NoWeighting)
    model: Model = field(default_factory=DiT)
    curriculum: Curriculum = field(default_factory=Curriculum)
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)
    resources: Resources = field(default_factory=Resources)
    cadence: Cadence = field(default_factory=Cadence)
    trainer: Trainer = later(_NATIVE)  # noqa: RUF009
    seed: int = 0
    plugins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, not {self.seed}")
        for workers in (self.resources.fewest_workers, self.resources.most_workers):
            self.check_workers(workers)

    def check_workers(self, workers: int) -> None:
        """Whether `workers` processes can share each batch evenly.

        Raises:
            ValueError: they cannot.
        """
        if isinstance(self.trainer, OwnTrainer):
            self._check_own_workers(self.trainer, workers)
        name, shared = self._shared
        if shared % workers:
            raise ValueError(f"training.{name} must be a multiple of the number of workers ({workers}), not {shared}")

    @property
    def worker_counts(self) -> tuple[int, ...]:
        """The numbers of workers that may train a run together, the least first."""
        found = range(self.resources.fewest_workers, self.resources.most_workers + 1)
        return tuple(workers for workers in found if self._shared[1] % workers == 0)

    @property
    def _shared(self) -> tuple[str, int]:
        """What workers share evenly: the name of a setting of the training, and its value."""
        if isinstance(self.trainer, OwnTrainer):
            return "batch_size", self.training.batch_size
        return "noise_shards", self.training.noise_shards

    def _check_own_workers(self, trainer: OwnTrainer, workers: int) -> None:
        for name in ("sharding", "activation_checkpointing"):
            default = Resources.added_later()[name]
            if (value := getattr(self.resources, name)) != default:
                raise ValueError(
                    f"resources.{name} must be {_yaml(default)} where trainer is code of your own, not {_yaml(value)}: "
                    "the network is its own too, and so is the way in which its workers share it"
                )
        if workers > 1 and isinstance(trainer, CommandTrainer):
            raise ValueError(
                f"resources.workers must be 1 where trainer is a command, not {workers}: the program starts its own "
                "processes, as with torchrun; give it cpus_per_worker and gpus_per_worker for all of them"
            )

    def identity(self) -> str:
        """A name for what is trained: 12 hexadecimal digits, equal for runs that cannot differ.

        Resources, cadence and the paths of plug-ins are left out, and so are settings without effect, such as the
        pacing of a run that has no curriculum, or the network of our own loop where another code trains.

        Raises:
            ValueError: a file that belongs to it, with measured difficulties or training code, cannot be read.
        """
        curriculum = self.curriculum.canonical()
        fields = dataclasses.replace(self, curriculum=curriculum, density=self.density.canonical()).identifying()
        del fields["resources"], fields["cadence"], fields["plugins"]
        if isinstance(self.trainer, OwnTrainer):
            fields = self._own_fields(fields, self.trainer)
        for name, part in (("partition", curriculum.partition), ("order", curriculum.order)):
            if isinstance(part, MeasuredPartition | MeasuredOrder):  # what the file says, not where it lies
                fields["curriculum"][name]["path"] = hashlib.sha256(Path(part.path).read_bytes()).hexdigest()
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]

    @staticmethod
    def _own_fields(fields: dict[str, Any], trainer: OwnTrainer) -> dict[str, Any]:
        training = {name: value for name, value in fields["training"].items() if counts(f"training.{name}")}
        kept = {name: value for name, value in fields.items() if counts(name)}
        return kept | {"training": training, "trainer": trainer.identity()}

    @property
    def is_native(self) -> bool:
        """Whether it is our own loop that trains."""
        return not isinstance(self.trainer, OwnTrainer)

    def metric_names(self, *, final: bool) -> tuple[str, ...]:
        """The names of all values of an ordinary or of the final evaluation, without running anything."""
        if isinstance(self.trainer, OwnTrainer):
            return tuple(self.trainer.metrics)
        return self.evaluation.metric_names(final=final)

    def direction(self, metric: str) -> Direction:
        """Whether less or more of a metric is better.

        Raises:
            ValueError: there is no metric of that name.
        """
        if not isinstance(self.trainer, OwnTrainer):
            return self.evaluation.direction(metric)
        if metric not in self.trainer.metrics:
            raise ValueError(f"trainer.metrics has no {metric!r}; there are {', '.join(self.trainer.metrics)}")
        return Direction(self.trainer.metrics[metric])

    def second_opinions(self, objective: str) -> tuple[str, ...]:
        """Other metrics at the end of a run that say the same thing otherwise, in the direction of `objective`:
        distances by other extractors, or whatever else code of the user's own reports."""
        if isinstance(self.trainer, OwnTrainer):
            others = [name for name in self.trainer.metrics if name != objective]
        else:
            active = self.evaluation.active(final=True)
            by_features = [evaluator for evaluator in active if isinstance(evaluator, FeatureEvaluator)]
            own = [evaluator.extractor for evaluator in by_features if objective in evaluator.names]
            others = [evaluator.names[0] for evaluator in by_features if evaluator.extractor not in own]
        return tuple(name for name in others if self.direction(name) == self.direction(objective))

    def data_fingerprint(self) -> str:
        """What the runs are trained on: the images that are there, or the code that finds its own."""
        return self.trainer.code() if isinstance(self.trainer, OwnTrainer) else self.data.load().fingerprint

    def describe(self) -> str:
        """What is done to the noise levels, in a few words: "hard to easy, 5 clusters, root", or "no curriculum"."""
        words, density = self.curriculum.describe(), self.density.canonical()
        if not isinstance(density, Moving):
            return words
        has_order = not self.curriculum.canonical().order.all_at_once
        return f"{words}; {density.describe()}" if has_order else density.describe()

    def summary(self) -> str:
        """What is trained on, in words."""
        if isinstance(self.trainer, OwnTrainer):
            return f"images of {self.trainer.title}'s own (code {self.trainer.code()}, in {self.trainer.home})"
        return self.data.summary()

    def preparing(self) -> Callable[[], tuple[int, int, str] | None]:
        """What says how far something is that is prepared once, when a run first reads it: the captions, training
        images and the reference's, which are encoded, or the training images, which are decoded.

        It gives how many are done by now, how many there are, and what it is; None: nothing is under way.
        """
        if isinstance(self.trainer, OwnTrainer):
            return lambda: None
        loaded = functools.cache(lambda: (self.data.load(), self.data.reference()))

        def found() -> tuple[int, int, str] | None:
            train, reference = loaded()
            parts = [(images.conditions.encoding, "captions encoded") for images in (train, reference)]
            for counts, what in (*parts, (train.decoding, "images decoded")):
                if counts is not None and 0 < counts[0] < counts[1]:
                    return *counts, what
            return None

        return found

    def build_network(self, images: ImageSet) -> nn.Module:
        """The untrained network for `images`, with weights from torch's global random state."""
        channels, resolution, _ = self.encoder.shape_of(images)
        return self.model.build(
            channels=channels,
            out_channels=self.process.out_channels(channels),
            resolution=resolution,
            conditions=images.conditions,
        )

    def check(self, *parts: str) -> None:
        """Everything that can be known before training: the data are there, they fit the encoder, the model and the
        evaluation, and the curriculum fits the noise process.

        Args:
            parts: those to look at, by their field's name; none: all.

        Raises:
            ValueError: what is wrong, and what would be right.
        """
        checks: list[tuple[str, Callable[[], None]]] = [
            ("data", self.data.check),
            ("encoder", lambda: self.encoder.check(self.data.load())),
            ("training", self._check_mirroring),
            ("model", self._check_model),
            ("evaluation", lambda: self.evaluation.check(self.process, self.data, self.encoder)),
        ]
        if isinstance(self.trainer, OwnTrainer):
            checks = [("trainer", self.trainer.check)]
        for part, check in (*checks, ("curriculum", self._check_curriculum)):
            if parts and part not in parts:
                continue
            try:
                check()
            except (ValueError, FileNotFoundError) as error:
                raise ValueError(f"{part}: {error}") from error

    def _check_mirroring(self) -> None:
        if self.training.horizontal_flip and self.data.load().encoded:
            raise ValueError(
                "horizontal_flip must be false with latents, which cannot be mirrored once they are encoded: those of "
                "mirrored images are used where they are stored beside them (jobs/encode.py --flip)"
            )

    def _check_model(self) -> None:
        try:
            with without_values():
                network = self.build_network(self.data.load())
        except ValueError as error:
            raise ValueError(f"{error} (data: {self.data.where})") from error
        blocks = self.model.blocks(network)
        if self.resources.sharding == "full":
            check_shards(network, blocks)
        if self.resources.activation_checkpointing and not blocks:
            raise ValueError(
                "resources.activation_checkpointing must be false with this model, not true: its network has no blocks"
            )

    def _check_curriculum(self) -> None:
        if self.curriculum.reset_ema and isinstance(self.trainer, OwnTrainer):
            raise ValueError("reset_ema must be false where code of your own trains: the averaged weights are its own")
        self.curriculum.resolve(self.process, self.density, self.training.total_images, self.training.batch_size)


def _yaml(value: str | bool) -> str:
    return str(value).lower()


def counts(path: str) -> bool:
    """Whether a dotted path of an experiment has an effect where code of the user's own trains."""
    return any(path == known or path.startswith(f"{known}.") for known in OF_OWN_TRAINERS)
