"""The published weights cannot be had without a network; everything but their values is tested."""

import math

import pytest
import torch
from torch import Tensor, nn

from curriculum_search.evaluation import Inception, Sources
from curriculum_search.evaluation.cache import file_sha256
from curriculum_search.evaluation.features import inception
from curriculum_search.evaluation.features.inception_network import InceptionNetwork

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")


@pytest.fixture
def filled(numbers):
    """The network with weights from a formula, as given to torch-fidelity and pytorch-fid too."""
    with torch.device("meta"):
        network = InceptionNetwork()
    network = network.to_empty(device="cpu").eval().requires_grad_(False)
    for i, (name, value) in enumerate(sorted(network.state_dict().items())):
        if not value.is_floating_point():
            value.zero_()
            continue
        weights = torch.from_numpy(numbers(*value.shape, stream=i))
        if name.endswith("running_var"):
            weights = 1 + weights / 2
        elif name.endswith("bn.weight"):
            weights = 1 + weights / 4
        elif value.ndim == 1:
            weights = weights / 8
        else:
            weights = weights * 1.75 * math.sqrt(2 / value[0].numel())
        value.copy_(weights)
    return network


@pytest.fixture
def images(pixels):
    image = pixels(9, 9, 3)
    return torch.stack([image, 255 - image])


def test_names_and_shapes_are_those_of_the_published_state_dict():
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in InceptionNetwork().state_dict().items()}
    # 94 convolutions with five tensors each, one count of batches each, and the last layer.
    assert len(shapes) == 94 * 6 + 2
    assert sum(math.prod(shape) for shape in shapes.values()) == 23_885_486  # of torch-fidelity 0.4.0's network
    expected = {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Conv2d_2b_3x3.bn.running_mean": (64,),
        "Conv2d_4a_3x3.conv.weight": (192, 80, 3, 3),
        "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
        "Mixed_5d.branch3x3dbl_3.conv.weight": (96, 96, 3, 3),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
        "Mixed_6b.branch7x7_2.conv.weight": (128, 128, 1, 7),
        "Mixed_6e.branch7x7dbl_5.conv.weight": (192, 192, 1, 7),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7b.branch3x3_2a.conv.weight": (384, 384, 1, 3),
        "Mixed_7c.branch3x3dbl_1.conv.weight": (448, 2048, 1, 1),
        "Mixed_7c.branch_pool.bn.running_var": (192,),
        "fc.weight": (1008, 2048),
        "fc.bias": (1008,),
    }
    assert {name: shapes.get(name) for name in expected} == expected


def test_features_and_probabilities_agree_with_torch_fidelity(filled, pixels):
    image = pixels(299, 299, 3, stream=1000)[None]
    network = filled.double()
    features = network((image.double() - 128) / 128)
    # FeatureExtractorInceptionV3 of torch-fidelity 0.4.0 in float64 with the same weights.
    expected = [5.165382279851883, 15.451285475906793, 0.7686754646113536, 10.433479741618815]
    assert features[0, [1, 777, 1000, 2047]].tolist() == pytest.approx(expected, rel=1e-9)
    assert float(features.mean()) == pytest.approx(4.129659195645726, rel=1e-9)
    p = network.probabilities(features)
    assert [float(p.max()), float((p * p.log()).sum())] == pytest.approx(
        [0.6048656569133055, -1.206862560269495], rel=1e-7
    )


def test_resizing_agrees_with_torch_fidelity_and_clean_fid(images, pixels):
    def points(resized: Tensor) -> list[float]:
        return [float(resized[0, c, y, x]) for y, x, c in ((20, 60, 0), (150, 37, 1), (298, 298, 2), (60, 250, 0))]

    # interpolate_bilinear_2d_like_tensorflow1x of torch-fidelity 0.4.0.
    tensorflow = inception.resized(images.float(), "tensorflow")
    assert points(tensorflow) == pytest.approx([125.787056, 176.919907, 120.0, 176.693802], abs=2e-3)
    # make_resizer("PIL", False, "bicubic", (299, 299)) of clean-fid 0.1.35, enlarging and shrinking.
    clean = inception.resized(images.float(), "clean")
    assert points(clean) == pytest.approx([141.281845, 229.576401, 109.936043, 113.945526], abs=2e-3)
    shrunk = inception.resized(pixels(640, 640, 3, stream=1)[None].float(), "clean")
    assert points(shrunk) == pytest.approx([138.076157, 128.396622, 154.174866, 154.478333], abs=2e-2)


def test_a_state_dict_is_loaded_by_its_published_names(filled, images, tmp_path, monkeypatch, digits):
    # Older PyTorch, which the published file was made with, did not count batches.
    state = {name: value for name, value in filled.state_dict().items() if "num_batches" not in name}
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    monkeypatch.setitem(inception.PUBLISHED, file_sha256(path), "a stand-in")
    sources = Sources(train=digits, reference=digits, device=torch.device("cpu"), cache_dir=tmp_path)
    features = Inception(path=str(path)).load(sources)
    with torch.no_grad():
        rows, probabilities = features.with_probabilities(images)
        grey = features(images[:, :1])
    enlarged = inception.resized(images.float(), "tensorflow")
    torch.testing.assert_close(rows, filled((enlarged - 128) / 128))
    assert rows.shape == grey.shape == (2, features.dimension)
    assert probabilities.shape == (2, features.num_classes)
    assert "a stand-in" in features.words


def test_features_with_pytorchs_resizing_are_those_of_pytorch_fid(filled, images, tmp_path, monkeypatch, digits):
    path = tmp_path / "weights.pth"
    torch.save(filled.state_dict(), path)
    monkeypatch.setitem(inception.PUBLISHED, file_sha256(path), "a stand-in")
    sources = Sources(train=digits, reference=digits, device=torch.device("cpu"), cache_dir=tmp_path)
    loaded = {resize: Inception(path=str(path), resize=resize).load(sources) for resize in ("pytorch", "tensorflow")}
    with torch.no_grad():
        features = loaded["pytorch"](images)
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
def test_nvidias_torchscript_is_recognised_and_called_as_its_metrics_do(images, tmp_path, monkeypatch, digits, resize):
    path = tmp_path / "inception.pt"
    torch.jit.save(torch.jit.script(LikeNvidia()), str(path))
    monkeypatch.setitem(inception.PUBLISHED, file_sha256(path), "a stand-in")
    sources = Sources(train=digits, reference=digits, device=torch.device("cpu"), cache_dir=tmp_path)
    rows, probabilities = Inception(path=str(path), resize=resize).load(sources).with_probabilities(images)
    # The file takes (x - 128) / 128 of its input; pytorch-fid's x / 127.5 - 1 is that of x * 128 / 127.5.
    enlarged = inception.resized(images.float(), resize) * (128 / 127.5 if resize == "pytorch" else 1)
    torch.testing.assert_close(rows[:, :3], enlarged.mean((2, 3)))
    torch.testing.assert_close(probabilities.sum(1), torch.ones(2))
    assert Inception(resize=resize).label == ("inception" if resize == "tensorflow" else f"inception_{resize}")
