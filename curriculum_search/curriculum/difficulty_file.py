"""difficulty.json: how hard each noise level was measured to be.  Written by jobs/difficulty.py, read by `measured`
parts.

The file is one JSON object::

    {"format": "curriculum-search difficulty", "version": 1,
     "process": {"kind": "ddpm", ...},
     "convergence": {"edges": [0.0, ..., 1.0], "values": [...]},
     "entropy": {"edges": [0.0, ..., 1.0], "values": [...]},
     "details": {...}}

Both curves are constant between edges of the noise quantile q.  Values are difficulties per unit of q, at least 0,
scaled so that their mean over q is 1: twice the value, twice as hard.  `details` is free: raw losses, data set,
estimator, seeds.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from curriculum_search.config import Config
from curriculum_search.diffusion.process import Process

CurveName = Literal["convergence", "entropy"]

FORMAT = "curriculum-search difficulty"
VERSION = 1

#: Fields of a noise process that a curve does not depend on: the marginals are the same whatever the network predicts.
_WITHOUT_EFFECT: Mapping[CurveName, frozenset[str]] = {
    "convergence": frozenset({"learned_variance"}),
    "entropy": frozenset({"learned_variance", "prediction", "sigma_data"}),
}


@dataclass(frozen=True, kw_only=True)
class DifficultyCurve(Config):
    """A difficulty that is constant between edges of q, with mean 1 over q.

    Attributes:
        edges: [K + 1], strictly increasing from 0 to 1.
        values: [K], finite, at least 0, of mean 1 (see `normalised`).
    """

    edges: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        edges, values = np.array(self.edges, dtype=np.float64), np.array(self.values, dtype=np.float64)
        if len(edges) < 2 or edges[0] != 0 or edges[-1] != 1 or not np.all(np.diff(edges) > 0):
            raise ValueError(f"edges must increase strictly from 0 to 1, not {list(self.edges)}")
        if len(values) != len(edges) - 1:
            raise ValueError(f"values must be one fewer than edges ({len(edges)}), not {len(values)}")
        if not (np.all(np.isfinite(values)) and np.all(values >= 0)):
            raise ValueError(f"values must be finite and at least 0, not {list(self.values)}")
        mean = float(values @ np.diff(edges))
        if not math.isclose(mean, 1.0, abs_tol=1e-6):
            raise ValueError(f"values must have mean 1 over q, not {mean:.6g}; DifficultyCurve.normalised scales them")

    @classmethod
    def normalised(cls, edges: Sequence[float] | np.ndarray, values: Sequence[float] | np.ndarray) -> Self:
        """The curve of unscaled `values` [K] between `edges` [K + 1]; noise of an estimator below 0 counts as 0.

        Raises:
            ValueError: no value is positive, or the edges are not as described above.
        """
        heights = np.maximum(np.asarray(values, dtype=np.float64), 0.0)
        widths = np.diff(np.asarray(edges, dtype=np.float64))
        if heights.shape != widths.shape or not heights @ widths > 0:
            raise ValueError(f"values must be {len(widths)} numbers, at least one of them positive, not {list(values)}")
        return cls(edges=tuple(float(e) for e in edges), values=tuple((heights / (heights @ widths)).tolist()))

    def over(self, edges: np.ndarray) -> np.ndarray:
        """Mean difficulty of each of the clusters between `edges` [N + 1], float64 [N]."""
        return np.asarray(np.diff(self._cumulated(edges)) / np.diff(edges))

    def split_equally(self, num_clusters: int) -> np.ndarray:
        """The inner edges, float64 [num_clusters - 1], between which the cumulated difficulty is the same."""
        cumulated = self._cumulated(np.array(self.edges))
        return np.asarray(np.interp(np.arange(1, num_clusters) / num_clusters, cumulated / cumulated[-1], self.edges))

    def _cumulated(self, q: np.ndarray) -> np.ndarray:
        steps = np.array(self.values) * np.diff(self.edges)
        return np.asarray(np.interp(q, self.edges, np.concatenate([[0.0], np.cumsum(steps)])))


@dataclass(frozen=True, kw_only=True)
class DifficultyFile(Config):
    """The contents of a difficulty.json file.

    Attributes:
        process: the noise process on which it was measured, as its configuration's plain fields.
        convergence: the loss that models trained on one interval each still had, per interval.
        entropy: square root of the relative entropy between neighbouring marginals.
        details: free further records.
    """

    process: Mapping[str, Any]
    convergence: DifficultyCurve
    entropy: DifficultyCurve
    details: Mapping[str, Any] = field(default_factory=dict)

    def curve(self, name: CurveName) -> DifficultyCurve:
        """One of the two curves by its name."""
        return {"convergence": self.convergence, "entropy": self.entropy}[name]

    def save(self, path: str | Path) -> None:
        """Write the file."""
        Path(path).write_text(json.dumps({"format": FORMAT, "version": VERSION, **self.to_dict()}, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read the file.

        Raises:
            ValueError: there is no such file, or it is no difficulty file of this version; the message names it.
        """
        try:
            fields = json.loads(Path(path).read_text())
            if not isinstance(fields, dict) or (fields.get("format"), fields.get("version")) != (FORMAT, VERSION):
                raise ValueError(f"it needs format {FORMAT!r} and version {VERSION}")
            curves = {
                name: DifficultyCurve(edges=tuple(fields[name]["edges"]), values=tuple(fields[name]["values"]))
                for name in ("convergence", "entropy")
            }
            return cls(process=fields["process"], details=fields.get("details", {}), **curves)
        except OSError as error:
            raise ValueError(f"path: {path} cannot be read ({error.strerror})") from error
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"path: {path} is not a difficulty file: {error}") from error


def check_process(path: str, name: CurveName, process: Mapping[str, Any]) -> None:
    """Whether a file's curve holds for a noise process, in which q might mean other levels.

    Args:
        path: of the file.
        name: of the curve.
        process: plain fields; those that the file does not record are not compared, but had their default if there
            were none when it was written.

    Raises:
        ValueError: the file cannot be read, or was measured on another process.
    """
    recorded = DifficultyFile.load(path).process
    member = Process.kinds().get(recorded.get("kind", ""))
    recorded = ({} if member is None else member.added_later()) | dict(recorded)
    differ = [f for f in recorded if f not in _WITHOUT_EFFECT[name] and recorded[f] != process.get(f)]
    if differ:
        differ = ["kind"] if "kind" in differ else differ
        measured, wanted = (", ".join(f"{f} {fields.get(f)}" for f in differ) for fields in (recorded, process))
        raise ValueError(
            f"path: the {name} curve of {path} was measured on a process with {measured}, and this one has {wanted}; "
            f"measure this one: jobs/difficulty.py"
        )
