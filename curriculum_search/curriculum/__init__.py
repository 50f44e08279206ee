"""Curricula over noise levels (Kim et al. 2025, arXiv 2403.10348).

Read in this order: `partition` cuts the noise levels into clusters, `order` says which is unlocked first,
`accumulation` and `stage_density` what is drawn then, `pacing` and `plateau` when the next follows, and `sampler` joins
them.
"""

from dataclasses import dataclass, field, replace
from typing import get_args

import torch

from curriculum_search.config import Config
from curriculum_search.curriculum._checks import require
from curriculum_search.curriculum.accumulation import Accumulation, Cumulative, Newest, Replay
from curriculum_search.curriculum.decision import Decision, Observation, Pacing, Reason
from curriculum_search.curriculum.difficulty_file import DifficultyCurve, DifficultyFile
from curriculum_search.curriculum.file import CurriculumFile
from curriculum_search.curriculum.moving import Moving
from curriculum_search.curriculum.order import (
    EasyToHard,
    GivenOrder,
    HardToEasy,
    MeasuredOrder,
    NoOrder,
    Order,
    RandomOrder,
)
from curriculum_search.curriculum.pacing import (
    Exponential,
    FixedExponential,
    FixedPacing,
    Linear,
    Logarithmic,
    Polynomial,
    Quadratic,
    Root,
    SingleStep,
    Step,
    VariedExponential,
)
from curriculum_search.curriculum.partition import (
    GivenPartition,
    LogSnrPartition,
    MeasuredPartition,
    Partition,
    QuantilePartition,
    UniformPartition,
)
from curriculum_search.curriculum.plateau import Plateau
from curriculum_search.curriculum.sampler import CurriculumSampler, Switch
from curriculum_search.curriculum.stage_density import UnionDensity
from curriculum_search.diffusion.density import Density
from curriculum_search.diffusion.process import Process

#: What training without a curriculum is called.
ORDINARY = "no curriculum"

__all__ = [
    "ORDINARY",
    "Accumulation",
    "Cumulative",
    "Curriculum",
    "CurriculumFile",
    "CurriculumSampler",
    "Decision",
    "DifficultyCurve",
    "DifficultyFile",
    "EasyToHard",
    "Exponential",
    "FixedExponential",
    "FixedPacing",
    "GivenOrder",
    "GivenPartition",
    "HardToEasy",
    "Linear",
    "LogSnrPartition",
    "Logarithmic",
    "MeasuredOrder",
    "MeasuredPartition",
    "Moving",
    "Newest",
    "NoOrder",
    "Observation",
    "Order",
    "Pacing",
    "Partition",
    "Plateau",
    "Polynomial",
    "Quadratic",
    "QuantilePartition",
    "RandomOrder",
    "Reason",
    "Replay",
    "Root",
    "SingleStep",
    "Step",
    "Switch",
    "UniformPartition",
    "UnionDensity",
    "VariedExponential",
]


@dataclass(frozen=True, kw_only=True)
class Curriculum(Config):
    """How a curriculum is made.  Every field is a choice that the paper leaves open, and can be searched.

    Attributes:
        num_clusters: into how many clusters the noise levels are cut.
        partition: where they are cut.
        order: which cluster is unlocked first; kind ``none`` is ordinary training, whatever the other fields say.
        accumulation: what is still trained once the next cluster is unlocked.
        union_density: the mass of each unlocked cluster: its own under the ``base`` density, or an ``equal`` one.
        pacing: when the next cluster is unlocked.
        reset_ema: whether each switch of stage sets the averaged weights back to the present ones.
    """

    num_clusters: int = 20
    partition: Partition = field(default_factory=LogSnrPartition)
    order: Order = field(default_factory=EasyToHard)
    accumulation: Accumulation = field(default_factory=Cumulative)
    union_density: UnionDensity = "base"
    pacing: Pacing = field(default_factory=Linear)
    reset_ema: bool = False

    def __post_init__(self) -> None:
        require(self.num_clusters >= 1, "num_clusters", "at least 1", self.num_clusters)
        allowed = get_args(UnionDensity)
        require(self.union_density in allowed, "union_density", f"one of {', '.join(allowed)}", self.union_density)

    def canonical(self) -> "Curriculum":
        """The one representative of all curricula that train alike: fields without effect have their defaults.

        Ordinary training is `Curriculum(order=NoOrder())`, however it was written: no order, one cluster, or a pacing
        that unlocks everything at the start.
        """
        if self.order.all_at_once or self.num_clusters == 1 or self._starts_complete():
            return Curriculum(order=NoOrder())
        one_cluster_at_a_time = isinstance(self.accumulation, Newest)
        return replace(
            self,
            union_density="base" if one_cluster_at_a_time else self.union_density,
            pacing=self.pacing.canonical(),
        )

    def resolve(self, process: Process, density: Density, total_images: int, batch_size: int) -> CurriculumFile:
        """The curriculum in numbers: what `build` follows and what is exported.

        Raises:
            ValueError: a field does not fit the process (more clusters than timesteps, say), or a difficulty file
                cannot be read or was measured on another process.
        """
        curriculum, base = self.canonical(), density.piecewise(process)
        num_clusters = 1 if curriculum.order.all_at_once else curriculum.num_clusters
        for part in (curriculum.partition, curriculum.order):
            part.check(process)
        edges = curriculum.partition.edges(process, base, num_clusters)
        return CurriculumFile(
            process=process,
            edges=tuple(edges.tolist()),
            permutation=tuple(curriculum.order.permutation(edges).tolist()),
            accumulation=curriculum.accumulation,
            union_density=curriculum.union_density,
            pacing=curriculum.pacing,
            reset_ema=curriculum.reset_ema,
            density=density.canonical().resolved(process),
            total_images=total_images,
            batch_size=batch_size,
        )

    def build(
        self, process: Process, density: Density, total_images: int, batch_size: int, device: torch.device | str
    ) -> CurriculumSampler:
        """The curriculum at its start, for one training run.

        Args:
            process: the noise process, which gives clusters their meaning.
            density: the base density of q.
            total_images: the training budget, over all workers.
            batch_size: images per step, over all workers.
            device: where draws are made.

        Raises:
            ValueError: see `resolve`.
        """
        return self.resolve(process, density, total_images, batch_size).sampler(device)

    def describe(self) -> str:
        """The curriculum in a few words, as in "easy to hard, 10 clusters, linear"."""
        plain = self.canonical().to_dict()
        order = plain["order"]["kind"]
        if order == "none":
            return ORDINARY
        pacing, accumulation = (plain[part]["kind"].replace("_", " ") for part in ("pacing", "accumulation"))
        words = [order.replace("_", " "), f"{plain['num_clusters']} clusters", pacing]
        return ", ".join(words if accumulation == "cumulative" else [*words, accumulation])

    def _starts_complete(self) -> bool:
        return isinstance(self.pacing, FixedPacing) and self.pacing.fraction(0.0) >= 1.0
