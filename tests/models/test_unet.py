import subprocess
import sys
from typing import Any

import pytest
import torch
from support.conditions import of_classes

from curriculum_search.conditions import ClassCondition, Unconditional
from curriculum_search.models import Model, UNet

torch.set_num_threads(1)

TINY = UNet(block_channels=(16, 32), layers_per_block=1, attention=(1,))


@pytest.mark.parametrize(("channels", "out_channels", "resolution"), [(1, 1, 8), (1, 2, 16), (3, 6, 8), (3, 3, 32)])
@pytest.mark.parametrize("num_classes", [0, 10])
def test_outputs_have_the_shape_of_the_images(
    channels: int, out_channels: int, resolution: int, num_classes: int
) -> None:
    module = TINY.build(
        channels=channels, out_channels=out_channels, resolution=resolution, conditions=of_classes(num_classes)
    )
    condition = ClassCondition.of(torch.tensor([3, 10])) if num_classes else Unconditional()
    out = module(torch.randn(2, channels, resolution, resolution), torch.tensor([0.0, 999.0]), condition)
    assert out.shape == (2, out_channels, resolution, resolution)
    assert torch.isfinite(out).all()


def test_labels_and_fractional_times_matter_and_no_labels_are_null_labels() -> None:
    torch.manual_seed(0)
    module = TINY.build(channels=1, out_channels=1, resolution=8, conditions=of_classes(4)).eval()
    x, time = torch.randn(2, 1, 8, 8), torch.tensor([0.25, 0.5])
    out = module(x, time, ClassCondition.of(torch.tensor([0, 1])))
    assert not torch.equal(out, module(x, time, ClassCondition.of(torch.tensor([2, 1]))))
    assert not torch.equal(out, module(x, time + 0.1, ClassCondition.of(torch.tensor([0, 1]))))
    assert torch.equal(module(x, time, Unconditional()), module(x, time, ClassCondition.of(torch.tensor([4, 4]))))


def test_attention_stands_at_the_levels_that_are_named() -> None:
    module: Any = UNet(block_channels=(8, 16, 16), layers_per_block=1, attention=(0, 2)).build(
        channels=1, out_channels=1, resolution=16, conditions=of_classes(0)
    )
    assert [hasattr(block, "attentions") for block in module.unet.down_blocks] == [True, False, True]
    assert [hasattr(block, "attentions") for block in module.unet.up_blocks] == [True, False, True]


def test_dropout_is_off_in_evaluation() -> None:
    torch.manual_seed(0)
    module = UNet(block_channels=(8,), layers_per_block=1, attention=(), dropout=0.5).build(
        channels=1, out_channels=1, resolution=8, conditions=of_classes(0)
    )
    x, time = torch.randn(2, 1, 8, 8), torch.rand(2)
    assert not torch.equal(module(x, time, Unconditional()), module(x, time, Unconditional()))
    module.eval()
    assert torch.equal(module(x, time, Unconditional()), module(x, time, Unconditional()))


def test_the_seed_decides_the_weights() -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        module = TINY.build(channels=1, out_channels=1, resolution=8, conditions=of_classes(3))
        return torch.cat([p.detach().flatten() for p in module.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_the_published_cifar_10_network_has_its_35_7_million_parameters() -> None:
    # Ho et al. 2020, appendix B: 35.7 million; attention at 16x16 and 128, 256, 256, 256 channels.
    with torch.device("meta"):
        module = UNet().build(channels=3, out_channels=3, resolution=32, conditions=of_classes(0))
    assert sum(p.numel() for p in module.parameters()) / 1e6 == pytest.approx(35.7, abs=0.06)


def test_without_diffusers_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ValueError, match=r"pip install curriculum-search\[unet\]"):
        TINY.build(channels=1, out_channels=1, resolution=8, conditions=of_classes(0))


def test_diffusers_is_imported_only_when_a_unet_is_built() -> None:
    program = "import sys, curriculum_search.models, curriculum_search.diffusion; sys.exit('diffusers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"block_channels": ()}, "block_channels"),
        ({"block_channels": (16, 30)}, "block_channels must be positive multiples of 4"),
        ({"layers_per_block": 0}, "layers_per_block"),
        ({"attention": (4,)}, r"attention must name levels 0 \.\. 3"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_impossible_fields_are_refused_by_name(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Model.from_dict({"kind": "unet", **fields})


def test_a_resolution_that_cannot_be_halved_often_enough_is_refused() -> None:
    with pytest.raises(ValueError, match="block_channels with 4 levels needs a resolution divisible by 8, not 12"):
        UNet().build(channels=1, out_channels=1, resolution=12, conditions=of_classes(0))
