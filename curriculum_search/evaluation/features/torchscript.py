"""Any network of the user's own, as a TorchScript file."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from curriculum_search.data import ImageSet
from curriculum_search.evaluation.cache import file_sha256
from curriculum_search.evaluation.features.extractor import Extractor, Features, Sources


@dataclass(frozen=True, kw_only=True)
class TorchScript(Extractor):
    """A module saved by ``torch.jit.save`` that takes images uint8 [B, C, H, W] and gives features, float [B, d].

    Attributes:
        path: the file.
        name: the module's part of metrics' names: letters, digits and underscores.
    """

    kind: Literal["torchscript"] = "torchscript"
    path: str
    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9_]+", self.name) or self.name.startswith("inception"):
            raise ValueError(
                f"name of extractor torchscript must be lower case letters, digits and underscores, and not begin with "
                f"inception, not {self.name!r}"
            )

    @property
    def label(self) -> str:
        return self.name

    def dimension(self, reference: ImageSet) -> int:
        return self._features(reference, torch.device("cpu")).dimension

    def check(self, train: ImageSet, reference: ImageSet) -> None:
        self._features(reference, torch.device("cpu"))

    def load(self, sources: Sources) -> Features:
        return self._features(sources.reference, sources.device)

    def _features(self, reference: ImageSet, device: torch.device) -> "_ModuleFeatures":
        path = Path(self.path).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"path of extractor torchscript: {path} does not exist")
        probe = torch.zeros(2, reference.channels, reference.resolution, reference.resolution, dtype=torch.uint8)
        try:
            module = torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                output = module(probe.to(device))
        except RuntimeError as error:
            raise ValueError(f"path of extractor torchscript: {path} cannot be run on images: {error}") from error
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != 2:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(f"path of extractor torchscript: {path} must give features [B, d], not {shape} for B = 2")
        return _ModuleFeatures(module, self.name, output.shape[1], file_sha256(path))


class _ModuleFeatures(Features):
    def __init__(self, module: Any, name: str, dimension: int, checksum: str) -> None:
        self.dimension = dimension
        self.checksum = checksum
        self.words = f"TorchScript module {name}, SHA-256 {checksum[:12]}"
        self._module = module

    def __call__(self, images: Tensor) -> Tensor:
        return self._module(images).to(torch.float32)  # type: ignore[no-any-return]
