"""One training run as a strict, serialisable configuration: what a trial trains and what jobs/train.py takes."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from curriculum_search.config import Config
from curriculum_search.curriculum import Curriculum, MeasuredOrder, MeasuredPartition
from curriculum_search.data import DataSource, Digits, ImageSet
from curriculum_search.diffusion import DDPM, Density, NoWeighting, Process, Uniform, Weighting
from curriculum_search.evaluation import Evaluation
from curriculum_search.experiment.cadence import Cadence
from curriculum_search.experiment.resources import Resources
from curriculum_search.experiment.training import Training
from curriculum_search.models import DiT, Model
from curriculum_search.models.encoders import PIXELS, Encoder


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
        seed: of the weights, the data's order and the noise.  Runs with one seed share all three.
        plugins: Python files that define kinds of one's own, read before anything else in this file.
    """

    data: DataSource = field(default_factory=Digits)
    encoder: Encoder = PIXELS
    process: Process = field(default_factory=DDPM)
    density: Density = field(default_factory=Uniform)
    weighting: Weighting = field(default_factory=NoWeighting)
    model: Model = field(default_factory=DiT)
    curriculum: Curriculum = field(default_factory=Curriculum)
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)
    resources: Resources = field(default_factory=Resources)
    cadence: Cadence = field(default_factory=Cadence)
    seed: int = 0
    plugins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, not {self.seed}")
        self.check_workers(self.resources.workers)

    def check_workers(self, workers: int) -> None:
        """Whether `workers` processes can share each batch evenly.

        Raises:
            ValueError: they cannot.
        """
        if self.training.noise_shards % workers:
            raise ValueError(
                f"training.noise_shards must be a multiple of the number of workers ({workers}), "
                f"not {self.training.noise_shards}"
            )

    def identity(self) -> str:
        """A name for what is trained: 12 hexadecimal digits, equal for runs that cannot differ.

        Resources, cadence and the paths of plug-ins are left out, and so are settings without effect, such as the
        pacing of a run that has no curriculum, and an encoder that is none.
        """
        curriculum = self.curriculum.canonical()
        fields = dataclasses.replace(self, curriculum=curriculum, density=self.density.canonical()).identifying()
        del fields["resources"], fields["cadence"], fields["plugins"]
        if self.encoder == PIXELS:
            del fields["encoder"]
        for name, part in (("partition", curriculum.partition), ("order", curriculum.order)):
            if isinstance(part, MeasuredPartition | MeasuredOrder):  # what the file says, not where it lies
                fields["curriculum"][name]["path"] = hashlib.sha256(Path(part.path).read_bytes()).hexdigest()
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]

    def build_network(self, images: ImageSet) -> nn.Module:
        """The untrained network for `images`, with weights from torch's global random state."""
        channels, resolution, _ = self.encoder.shape_of(images)
        return self.model.build(
            channels=channels,
            out_channels=self.process.out_channels(channels),
            resolution=resolution,
            conditions=images.conditions,
        )

    def check(self) -> None:
        """Everything that can be known before training: the data are there, they fit the encoder, the model and the
        evaluation, and the curriculum fits the noise process.

        Raises:
            ValueError: what is wrong, and what would be right.
        """
        for part, check in (
            ("data", self.data.check),
            ("encoder", lambda: self.encoder.check(self.data.load())),
            ("model", self._check_model),
            ("evaluation", lambda: self.evaluation.check(self.process, self.data, self.encoder)),
            ("curriculum", self._check_curriculum),
        ):
            try:
                check()
            except (ValueError, FileNotFoundError) as error:
                raise ValueError(f"{part}: {error}") from error

    def _check_model(self) -> None:
        with torch.device("meta"):
            self.build_network(self.data.load())

    def _check_curriculum(self) -> None:
        self.curriculum.resolve(self.process, self.density, self.training.total_images, self.training.batch_size)
