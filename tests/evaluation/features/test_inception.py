"""The published weights cannot be had without a network; everything but their values is tested."""

from pathlib import Path
from typing import Literal

import pytest
import torch
from support.arrays import MakePicture
from torch import Tensor, nn

from curriculum_search.data import MemoryImages
from curriculum_search.evaluation import Inception, Sources
from curriculum_search.evaluation.cache import file_sha256
from curriculum_search.evaluation.features import inception
from curriculum_search.evaluation.features.inception_network import InceptionNetwork

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")

Resize = Literal["tensorflow", "pytorch", "clean"]


@pytest.fixture
def pictures(pixels: MakePicture) -> Tensor:
    """A small picture in colour and its negative."""
    image = pixels(9, 9, 3)
    return torch.stack([image, 255 - image])


def test_resizing_agrees_with_torch_fidelity_and_clean_fid(pictures: Tensor, pixels: MakePicture) -> None:
    def points(resized: Tensor) -> list[float]:
        return [float(resized[0, c, y, x]) for y, x, c in ((20, 60, 0), (150, 37, 1), (298, 298, 2), (60, 250, 0))]

    # interpolate_bilinear_2d_like_tensorflow1x of torch-fidelity 0.4.0.
    tensorflow = inception.resized(pictures.float(), "tensorflow")
    assert points(tensorflow) == pytest.approx([125.787056, 176.919907, 120.0, 176.693802], abs=2e-3)
    # make_resizer("PIL", False, "bicubic", (299, 299)) of clean-fid 0.1.35, enlarging and shrinking.
    clean = inception.resized(pictures.float(), "clean")
    assert points(clean) == pytest.approx([141.281845, 229.576401, 109.936043, 113.945526], abs=2e-3)
    shrunk = inception.resized(pixels(640, 640, 3, stream=1)[None].float(), "clean")
    assert points(shrunk) == pytest.approx([138.076157, 128.396622, 154.174866, 154.478333], abs=2e-2)


def test_a_state_dict_is_loaded_by_its_published_names(
    inception_network: InceptionNetwork,
    pictures: Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    digits: MemoryImages,
) -> None:
    # Older PyTorch, which the published file was made with, did not count batches.
    state = {name: value for name, value in inception_network.state_dict().items() if "num_batches" not in name}
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    monkeypatch.setitem(inception.PUBLISHED, file_sha256(path), "a stand-in")
    sources = Sources(train=digits, reference=digits, device=torch.device("cpu"), cache_dir=tmp_path)
    features = Inception(path=str(path)).load(sources)
    with torch.no_grad():
        rows, probabilities = features.with_probabilities(pictures)
        grey = features(pictures[:, :1])
    enlarged = inception.resized(pictures.float(), "tensorflow")
    torch.testing.assert_close(rows, inception_network((enlarged - 128) / 128))
    assert rows.shape == grey.shape == (2, features.dimension)
    assert probabilities.shape == (2, features.num_classes)
    assert "a stand-in" in features.words


def test_features_with_pytorchs_resizing_are_those_of_pytorch_fid(
    inception_network: InceptionNetwork,
    pictures: Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    digits: MemoryImages,
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(inception_network.state_dict(), path)
    monkeypatch.setitem(inception.PUBLISHED, file_sha256(path), "a stand-in")
    sources = Sources(train=digits, reference=digits, device=torch.device("cpu"), cache_dir=tmp_path)
    loaded = {resize: Inception(path=str(path), resize=resize).load(sources) for resize in ("pytorch", "tensorflow")}
    with torch.no_grad():
        features = loaded["pytorch"](pictures)
    # InceptionV3 of pytorch-fid 0.3.0 in float64 with the same weights; with (x - 128) / 128 they are .3 % off.
    expected = [2.2488386896409924, 5.5137318958403805, 0.20701622564755373, 4.599219855841519]
    assert features[0, [1, 777, 1000, 2047]].tolist() == pytest.approx(expected, rel=1e-4)
    assert float(features.mean()) == pytest.approx(1.552195949719529, rel=1e-4)
    # Statistics that an earlier version cached with the other normalisation have another name.
    assert loaded["pytorch"].checksum != f"{file_sha256(path)}-pytorch"
    assert loaded["tensorflow"].checksum == f"{file_sha256(path)}-tensorflow"


class LikeNvidia(nn.Module):
    """The interface of NVIDIA's TorchScript file, around a network that is quickly run."""

    def forward(self, images: Tensor, return_features: bool = False, no_output_bias: bool = False) -> Tensor:
        features = images.mean((2, 3)).repeat(1, 683)[:, :2048].reshape(-1, 2048, 1)[:, :, 0]
        if return_features:
            return features
        return torch.softmax(features[:, :1008] / 255 - (0.0 if no_output_bias else 1.0), 1)


@pytest.mark.parametrize("resize", ["tensorflow", "pytorch", "clean"])
def test_nvidias_torchscript_is_recognised_and_called_as_its_metrics_do(
    pictures: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: MemoryImages, resize: Resize
) -> None:
    path = tmp_path / "inception.pt"
    torch.jit.save(torch.jit.script(LikeNvidia()), str(path))
    monkeypatch.setitem(inception.PUBLISHED, file_sha256(path), "a stand-in")
    sources = Sources(train=digits, reference=digits, device=torch.device("cpu"), cache_dir=tmp_path)
    rows, probabilities = Inception(path=str(path), resize=resize).load(sources).with_probabilities(pictures)
    # The file takes (x - 128) / 128 of its input; pytorch-fid's x / 127.5 - 1 is that of x * 128 / 127.5.
    enlarged = inception.resized(pictures.float(), resize) * (128 / 127.5 if resize == "pytorch" else 1)
    torch.testing.assert_close(rows[:, :3], enlarged.mean((2, 3)))
    torch.testing.assert_close(probabilities.sum(1), torch.ones(2))
    assert Inception(resize=resize).label == ("inception" if resize == "tensorflow" else f"inception_{resize}")
