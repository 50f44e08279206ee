"""curriculum.json: a curriculum in numbers, ready to be followed by anybody's training code.

Where `Curriculum` says how edges and an order are to be found, the file has the edges and the order themselves, so that
nothing but numpy and torch is needed to use it.  The file is one JSON object::

    {"format": "curriculum-search curriculum", "version": 1,
     "process": {"kind": "ddpm", ...},                what q means: t = floor(q T), sigma, or flow time
     "edges": [0.0, ..., 1.0], "permutation": [...],  the clusters, and which is unlocked first
     "accumulation": {"kind": ...}, "union_density": "base", "pacing": {"kind": ...}, "reset_ema": false,
     "density": {"kind": "histogram", ...},           the base density over q, or one that moves or follows the losses
     "total_images": ..., "batch_size": ...,          the budget that it was made for
     "weighting": {"kind": ...},                      where a weighting is learned: what is to be trained
     "encoder": {"kind": ..., "scale": ...},          where the levels are of latents: how those were made
     "evidence": {...}}                               free: what is known about how well it does
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np
import torch

from curriculum_search.atomic import replacing
from curriculum_search.config import Config
from curriculum_search.curriculum._checks import require
from curriculum_search.curriculum.accumulation import Accumulation
from curriculum_search.curriculum.base_density import base_density
from curriculum_search.curriculum.decision import Pacing
from curriculum_search.curriculum.sampler import CurriculumSampler
from curriculum_search.curriculum.stage_density import UnionDensity
from curriculum_search.diffusion.density import Density
from curriculum_search.diffusion.process import Process
from curriculum_search.diffusion.weighting import LearnedWeighting

FORMAT = "curriculum-search curriculum"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class CurriculumFile(Config):
    """The contents of a curriculum.json file.

    Attributes:
        process: what q means.
        edges: [N + 1], the clusters' edges in q, strictly increasing from 0 to 1.
        permutation: [N], the clusters in the order of their unlocking.
        accumulation, union_density, pacing: as in `Curriculum`.
        reset_ema: whether each switch of stage sets the averaged weights back to the present ones; up to the
            training code.
        density: the base density over q.
        total_images: the training budget that it was made for; pacings are relative to it.
        batch_size: images per step, over all workers, that it was made with.
        evidence: free: metrics, seeds, the verdict of a search.
        weighting: of the loss, where it is learned with the network; one that is constant is up to the training code.
        encoder: where the levels are of latents, what they were made with: ``kind``, ``path`` where it has one, and
            ``scale`` and ``shift`` of what the network sees, (latent - shift) * scale, each null where they are the
            autoencoder's own.

    Raises:
        ValueError: edges, permutation or weighting are not as described.
    """

    process: Process
    edges: tuple[float, ...]
    permutation: tuple[int, ...]
    accumulation: Accumulation
    union_density: UnionDensity
    pacing: Pacing
    reset_ema: bool = False
    density: Density
    total_images: int
    batch_size: int
    evidence: Mapping[str, Any] = field(default_factory=dict)
    weighting: LearnedWeighting | None = None
    encoder: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        edges = np.array(self.edges, dtype=np.float64)
        rising = len(edges) >= 2 and edges[0] == 0 and edges[-1] == 1 and bool(np.all(np.diff(edges) > 0))
        require(rising, "edges", "strictly increasing from 0 to 1", list(self.edges))
        clusters = sorted(self.permutation) == list(range(len(edges) - 1))
        require(clusters, "permutation", f"each of 0..{len(edges) - 2} once", list(self.permutation))
        allowed = get_args(UnionDensity)
        require(self.union_density in allowed, "union_density", f"one of {', '.join(allowed)}", self.union_density)
        require(self.total_images >= 1, "total_images", "at least 1", self.total_images)
        require(self.batch_size >= 1, "batch_size", "at least 1", self.batch_size)
        require(isinstance(self.weighting, LearnedWeighting | None), "weighting", "one that is learned", self.weighting)

    def sampler(self, device: torch.device | str, *, total_images: int | None = None) -> CurriculumSampler:
        """The curriculum at its start.

        Args:
            device: where draws are made.
            total_images: another budget than the one that it was made for.
        """
        return CurriculumSampler(
            edges=np.array(self.edges),
            permutation=np.array(self.permutation),
            accumulation=self.accumulation,
            union_density=self.union_density,
            pacing=self.pacing,
            density=base_density(self.density, self.process),
            total_images=self.total_images if total_images is None else total_images,
            device=device,
        )

    def save(self, path: str | Path) -> None:
        """Write the file, in one move."""
        with replacing(Path(path)) as partial:
            fields = {name: value for name, value in self.to_dict().items() if value is not None}
            partial.write_text(json.dumps({"format": FORMAT, "version": VERSION, **fields}, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file.  A kind of one's own must have been imported before.

        Raises:
            ValueError: there is no such file, or it is no curriculum file of this version; the message names it.
        """
        try:
            fields = json.loads(Path(path).read_text())
            if not isinstance(fields, dict) or (fields.pop("format", None), fields.pop("version", None)) != (
                FORMAT,
                VERSION,
            ):
                raise ValueError(f"it needs format {FORMAT!r} and version {VERSION}")
            families: dict[str, Any] = {
                "process": Process,
                "accumulation": Accumulation,
                "pacing": Pacing,
                "density": Density,
            }
            if "weighting" in fields:
                families["weighting"] = LearnedWeighting
            parts = {name: family.from_dict(fields.pop(name)) for name, family in families.items()}
            edges, permutation = tuple(fields.pop("edges")), tuple(fields.pop("permutation"))
            return cls(edges=edges, permutation=permutation, **parts, **fields)
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error.strerror})") from error
        except KeyError as error:
            raise ValueError(f"{path} is not a curriculum file: {error} is missing") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is not a curriculum file: {error}") from error
