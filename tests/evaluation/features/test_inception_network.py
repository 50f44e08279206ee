"""The network by its published names and shapes, and with weights that other packages were given too."""

import math

import pytest
import torch
from support.arrays import MakePicture

from curriculum_search.evaluation.features.inception_network import InceptionNetwork


def test_names_and_shapes_are_those_of_the_published_state_dict() -> None:
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


def test_features_and_probabilities_agree_with_torch_fidelity(
    inception_network: InceptionNetwork, pixels: MakePicture
) -> None:
    image = pixels(299, 299, 3, stream=1000)[None]
    network = inception_network.double()
    features = network((image.double() - 128) / 128)
    # FeatureExtractorInceptionV3 of torch-fidelity 0.4.0 in float64 with the same weights.
    expected = [5.165382279851883, 15.451285475906793, 0.7686754646113536, 10.433479741618815]
    assert features[0, [1, 777, 1000, 2047]].tolist() == pytest.approx(expected, rel=1e-9)
    assert float(features.mean()) == pytest.approx(4.129659195645726, rel=1e-9)
    p = network.probabilities(features)
    assert [float(p.max()), float((p * p.log()).sum())] == pytest.approx(
        [0.6048656569133055, -1.206862560269495], rel=1e-7
    )
