"""The Inception of the original FID, from one of its two published files."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from curriculum_search.data import ImageSet
from curriculum_search.evaluation.cache import download_once, file_sha256
from curriculum_search.evaluation.features.extractor import Extractor, Features, Sources, as_rgb
from curriculum_search.evaluation.features.inception_network import NUM_FEATURES, NUM_OUTPUTS, InceptionNetwork
from curriculum_search.torch_imports import without_values

# Published files by SHA-256.  Only these are "the original Inception", after which the metric `fid` may be named.
STATE_DICT_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
TORCHSCRIPT_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
PUBLISHED = {
    STATE_DICT_SHA256: "pt_inception-2015-12-05-6726825d.pth (pytorch-fid, torch-fidelity)",
    TORCHSCRIPT_SHA256: "inception-2015-12-05.pt (NVIDIA's metrics, clean-fid)",
}
_URL = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
_ADVICE = "get the file where there is a network and name it in the field `path` of extractor inception"
_SIDE = 299  # pixels


@dataclass(frozen=True, kw_only=True)
class Inception(Extractor):
    """2,048 features of the Inception v3 of 2015-12-05 (Heusel et al. 2017, arXiv 1706.08500).

    Attributes:
        path: one of the two published files; None downloads the state dict once, where there is a network.
        resize: how images get to 299 pixels, which changes the distance.  "tensorflow" as the original code, ADM, EDM
            and StyleGAN do; "pytorch" as pytorch-fid does, which also maps 0..255 to -1..1 by x / 127.5 - 1 where the
            others have (x - 128) / 128; "clean" as clean-fid does.  Statistics from a file must have been made in the
            same way.
    """

    kind: Literal["inception"] = "inception"
    path: str | None = None
    resize: Literal["tensorflow", "pytorch", "clean"] = "tensorflow"

    def __post_init__(self) -> None:
        if self.resize not in ("tensorflow", "pytorch", "clean"):
            raise ValueError(f"resize must be tensorflow, pytorch or clean, not {self.resize}")

    @property
    def label(self) -> str:
        return "inception" if self.resize == "tensorflow" else f"inception_{self.resize}"

    @property
    def tells_classes(self) -> bool:
        return True

    def dimension(self, reference: ImageSet) -> int:
        return NUM_FEATURES

    def check(self, train: ImageSet, reference: ImageSet) -> None:
        if self.path is not None:
            _verified(Path(self.path).expanduser())

    def load(self, sources: Sources) -> Features:
        if self.path is None:
            path = download_once(_URL, STATE_DICT_SHA256, sources.cache_dir / "weights", _ADVICE)
        else:
            path = Path(self.path).expanduser()
        checksum = _verified(path)
        return _InceptionFeatures(_network(path, sources.device), self.resize, checksum)


class _InceptionFeatures(Features):
    dimension = NUM_FEATURES
    num_classes = NUM_OUTPUTS

    def __init__(self, network: Any, resize: str, checksum: str) -> None:
        # What is cached under the name "pytorch" was made with (x - 128) / 128.
        self.checksum = f"{checksum}-{resize}{' x / 127.5 - 1' if resize == 'pytorch' else ''}"
        self.words = f"Inception {PUBLISHED[checksum]}, SHA-256 {checksum[:12]}, resized as in {resize}"
        self._network = network
        self._resize = resize

    def __call__(self, images: Tensor) -> Tensor:
        return self._features(self._input(images))

    def with_probabilities(self, images: Tensor) -> tuple[Tensor, Tensor]:
        pixels = self._input(images)
        features = self._features(pixels)
        if isinstance(self._network, InceptionNetwork):
            return features, self._network.probabilities(features)
        return features, self._network(pixels, no_output_bias=True)

    def _input(self, images: Tensor) -> Tensor:
        """Float images [B, 3, 299, 299] in 0..255, for a network that takes (x - 128) / 128 of them."""
        pixels = resized(as_rgb(images).to(torch.float32), self._resize)
        return pixels * (128 / 127.5) if self._resize == "pytorch" else pixels

    def _features(self, pixels: Tensor) -> Tensor:
        if isinstance(self._network, InceptionNetwork):
            return self._network((pixels - 128) / 128)  # type: ignore[no-any-return]
        return self._network(pixels, return_features=True).flatten(1)  # type: ignore[no-any-return]


def resized(images: Tensor, resize: str) -> Tensor:
    """Float images [B, C, H, W] in 0..255 at 299 pixels, in one of the three ways of `Inception.resize`."""
    if resize == "clean":  # Pillow's bicubic with antialiasing, on floats
        return F.interpolate(images, (_SIDE, _SIDE), mode="bicubic", antialias=True).clamp(0, 255)
    if resize == "pytorch":
        return F.interpolate(images, (_SIDE, _SIDE), mode="bilinear", align_corners=False)
    for dim in (2, 3):
        # TensorFlow 1 puts pixel i of the output at i * input / output: corners are aligned at the top left only.
        size = images.shape[dim]
        place = torch.arange(_SIDE, dtype=torch.float32, device=images.device) * (size / _SIDE)
        low = place.long()
        high = (low + 1).clamp(max=size - 1)
        share = (place - low).view(-1, *[1] * (3 - dim))
        images = torch.lerp(images.index_select(dim, low), images.index_select(dim, high), share)
    return images


def _network(path: Path, device: torch.device) -> Any:
    if _is_torchscript(path):
        return torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
    with without_values():
        network = InceptionNetwork()
    network.load_state_dict(torch.load(path, map_location=device, weights_only=True), assign=True)
    return network.eval().requires_grad_(False)


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def _verified(path: Path) -> str:
    if not path.exists():
        raise FileNotFoundError(f"path of extractor inception: {path} does not exist")
    if (checksum := file_sha256(path)) not in PUBLISHED:
        raise ValueError(
            f"path of extractor inception: {path} has SHA-256 {checksum}; the original Inception is one of "
            f"{'; '.join(f'{name}, SHA-256 {known}' for known, name in PUBLISHED.items())}. For another network use "
            "extractor torchscript"
        )
    return checksum
