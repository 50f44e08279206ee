import math
from typing import Any

import pytest
import torch
from support.conditions import of_classes
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from curriculum_search.conditions import ClassCondition, Conditions, Unconditional
from curriculum_search.models import DiT, Model
from curriculum_search.models.dit import sincos_positions

torch.set_num_threads(1)

TINY = DiT(patch_size=2, hidden_size=48, depth=2, num_heads=3)


def trained(config: DiT, conditions: Conditions, **shape: int) -> nn.Module:
    """A network whose every weight matters: at initialisation adaLN-Zero hides all of them."""
    torch.manual_seed(0)
    module = config.build(conditions=conditions, **shape).eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name != "pos_embed":
                parameter.normal_(std=0.05)
    return module


# DiT-S/2 on 32x32x4 latents with 1000 classes and learned variance, names as in facebookresearch/DiT.
PUBLISHED_SHAPES = {
    "pos_embed": (1, 256, 384),
    "x_embedder.proj.weight": (384, 4, 2, 2),
    "x_embedder.proj.bias": (384,),
    "t_embedder.mlp.0.weight": (384, 256),
    "t_embedder.mlp.0.bias": (384,),
    "t_embedder.mlp.2.weight": (384, 384),
    "t_embedder.mlp.2.bias": (384,),
    "y_embedder.embedding_table.weight": (1001, 384),
    **{
        f"blocks.{i}.{name}": shape
        for i in range(12)
        for name, shape in {
            "attn.qkv.weight": (1152, 384),
            "attn.qkv.bias": (1152,),
            "attn.proj.weight": (384, 384),
            "attn.proj.bias": (384,),
            "mlp.fc1.weight": (1536, 384),
            "mlp.fc1.bias": (1536,),
            "mlp.fc2.weight": (384, 1536),
            "mlp.fc2.bias": (384,),
            "adaLN_modulation.1.weight": (2304, 384),
            "adaLN_modulation.1.bias": (2304,),
        }.items()
    },
    "final_layer.linear.weight": (32, 384),
    "final_layer.linear.bias": (32,),
    "final_layer.adaLN_modulation.1.weight": (768, 384),
    "final_layer.adaLN_modulation.1.bias": (768,),
}


def test_parameters_have_the_published_names_and_shapes() -> None:
    with FakeTensorMode():
        module = DiT().build(channels=4, out_channels=8, resolution=32, conditions=of_classes(1000))
    assert {name: tuple(value.shape) for name, value in module.state_dict().items()} == PUBLISHED_SHAPES


@pytest.mark.parametrize(
    ("hidden_size", "depth", "num_heads", "millions"),
    [(384, 12, 6, 33), (768, 12, 12, 130), (1024, 24, 16, 458), (1152, 28, 16, 675)],
)
def test_presets_have_the_published_sizes(hidden_size: int, depth: int, num_heads: int, millions: int) -> None:
    with FakeTensorMode():
        preset = DiT(hidden_size=hidden_size, depth=depth, num_heads=num_heads)
        module = preset.build(channels=4, out_channels=8, resolution=32, conditions=of_classes(1000))
    assert sum(p.numel() for p in module.parameters()) / 1e6 == pytest.approx(millions, rel=5e-3)


def as_diffusers(state: dict[str, Tensor], depth: int) -> dict[str, Tensor]:
    """Our weights under diffusers' names; it keeps a copy of the two embedders in every block."""
    renamed = {
        "pos_embed.pos_embed": state["pos_embed"],
        "proj_out_1": "final_layer.adaLN_modulation.1",
        "proj_out_2": "final_layer.linear",
        "pos_embed.proj": "x_embedder.proj",
    }
    for i in range(depth):
        here, there = f"transformer_blocks.{i}", f"blocks.{i}"
        renamed |= {
            f"{here}.norm1.emb.timestep_embedder.linear_1": "t_embedder.mlp.0",
            f"{here}.norm1.emb.timestep_embedder.linear_2": "t_embedder.mlp.2",
            f"{here}.norm1.emb.class_embedder.embedding_table.weight": state["y_embedder.embedding_table.weight"],
            f"{here}.norm1.linear": f"{there}.adaLN_modulation.1",
            f"{here}.attn1.to_out.0": f"{there}.attn.proj",
            f"{here}.ff.net.0.proj": f"{there}.mlp.fc1",
            f"{here}.ff.net.2": f"{there}.mlp.fc2",
        }
        for part in ("weight", "bias"):
            for letter, piece in zip("qkv", state[f"{there}.attn.qkv.{part}"].chunk(3), strict=True):
                renamed[f"{here}.attn1.to_{letter}.{part}"] = piece
    full = {}
    for name, source in renamed.items():
        if isinstance(source, Tensor):
            full[name] = source
        else:
            full |= {f"{name}.{part}": state[f"{source}.{part}"] for part in ("weight", "bias")}
    return full


@pytest.mark.parametrize(("patch", "channels", "resolution"), [(2, 4, 16), (1, 1, 8), (4, 3, 16)])
def test_outputs_are_those_of_diffusers_with_the_same_weights(patch: int, channels: int, resolution: int) -> None:
    from diffusers import DiTTransformer2DModel

    config = DiT(patch_size=patch, hidden_size=48, depth=3, num_heads=3)
    shape = {"channels": channels, "out_channels": 2 * channels, "resolution": resolution}
    ours = trained(config, **shape, conditions=of_classes(10))
    theirs = DiTTransformer2DModel(
        num_attention_heads=3,
        attention_head_dim=16,
        in_channels=channels,
        out_channels=2 * channels,
        num_layers=3,
        sample_size=resolution,
        patch_size=patch,
        num_embeds_ada_norm=10,
    ).eval()
    theirs.pos_embed.register_buffer("pos_embed", theirs.pos_embed.pos_embed, persistent=True)
    positions = theirs.pos_embed.pos_embed.clone()
    theirs.load_state_dict(as_diffusers(ours.state_dict(), depth=3))
    for block in theirs.transformer_blocks:
        block.norm1.emb.time_proj.downscale_freq_shift = 0  # As the published model has it, and diffusers has not.
    torch.testing.assert_close(ours.pos_embed.data, positions, rtol=0, atol=1e-6)

    generator = torch.Generator().manual_seed(1)
    x = torch.randn(5, channels, resolution, resolution, generator=generator)
    time, labels = torch.tensor([0.0, 1.0, 17.5, 500.0, 999.0]), torch.tensor([0, 3, 9, 10, 10])
    with torch.no_grad():
        expected = theirs(x, timestep=time, class_labels=labels).sample
        found = ours(x, time, ClassCondition.of(labels))
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_an_untrained_network_returns_zero_and_every_block_is_the_identity() -> None:
    torch.manual_seed(0)
    module = TINY.build(channels=3, out_channels=3, resolution=8, conditions=of_classes(0))
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(module(x, torch.tensor([1.0, 2.0]), Unconditional()), torch.zeros(2, 3, 8, 8))
    tokens = torch.randn(2, 16, 48)
    assert torch.equal(module.blocks[0](tokens, torch.randn(2, 48)), tokens)


def test_initial_weights_follow_the_published_scheme() -> None:
    torch.manual_seed(0)
    config = DiT(hidden_size=256, depth=1, num_heads=4)
    module = config.build(channels=4, out_channels=4, resolution=8, conditions=of_classes(500))
    state = module.state_dict()
    for name, fans in {
        "blocks.0.attn.qkv": 256 + 768,
        "blocks.0.mlp.fc1": 256 + 1024,
        "x_embedder.proj": 256 + 16,
    }.items():
        bound = math.sqrt(6 / fans)
        weight = state[f"{name}.weight"]
        assert weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)
        assert not state[f"{name}.bias"].any()
    for name in ("t_embedder.mlp.0", "t_embedder.mlp.2", "y_embedder.embedding_table"):
        assert state[f"{name}.weight"].std().item() == pytest.approx(0.02, rel=0.03)


def test_position_embeddings_are_fixed_and_tell_columns_from_rows() -> None:
    positions = sincos_positions(hidden=8, grid=3).reshape(3, 3, 8)
    row, column = 1.0, 2.0
    expected = [f(p * w) for p in (column, row) for f in (math.sin, math.cos) for w in (1.0, 0.01)]
    torch.testing.assert_close(positions[1, 2], torch.tensor(expected))
    module = TINY.build(channels=1, out_channels=1, resolution=8, conditions=of_classes(0))
    assert not module.pos_embed.requires_grad


def test_the_seed_decides_the_weights() -> None:
    def weights(seed: int) -> Tensor:
        torch.manual_seed(seed)
        module = TINY.build(channels=1, out_channels=1, resolution=8, conditions=of_classes(3))
        return torch.cat([p.detach().flatten() for p in module.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_no_labels_and_hidden_labels_are_null_labels() -> None:
    module = trained(TINY, channels=1, out_channels=2, resolution=8, conditions=of_classes(4))
    x, time = torch.randn(3, 1, 8, 8), torch.tensor([1.0, 50.0, 900.0])
    null, labels = module(x, time, Unconditional()), ClassCondition.of(torch.tensor([0, 1, 2]))
    assert torch.equal(null, module(x, time, labels.hide(torch.tensor(True))))
    assert torch.equal(null, module(x, time, ClassCondition.of(torch.full((3,), 4))))
    assert not torch.equal(null, module(x, time, labels))


def test_time_and_every_part_of_the_image_matter() -> None:
    module = trained(TINY, channels=1, out_channels=1, resolution=8, conditions=of_classes(0))
    x = torch.randn(1, 1, 8, 8, requires_grad=True)
    out = module(x, torch.tensor([0.3]), Unconditional())
    assert not torch.equal(out, module(x, torch.tensor([0.4]), Unconditional()))
    out[0, 0, 0, 0].backward()
    assert x.grad is not None
    assert torch.all(x.grad != 0)


def test_gradients_reach_all_parameters_but_the_positions() -> None:
    module = trained(TINY, channels=1, out_channels=1, resolution=8, conditions=of_classes(2))
    module(torch.randn(3, 1, 8, 8), torch.rand(3), ClassCondition.of(torch.tensor([0, 1, 2]))).square().sum().backward()
    assert {name for name, p in module.named_parameters() if p.grad is None} == {"pos_embed"}
    assert all(p.grad.any() for p in module.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"patch_size": 0}, "patch_size"),
        ({"hidden_size": 50, "num_heads": 4}, "hidden_size must be a multiple of 4 and of num_heads"),
        ({"hidden_size": 6, "num_heads": 3}, "hidden_size"),
        ({"depth": 0}, "depth"),
        ({"mlp_ratio": 0.0}, "mlp_ratio"),
    ],
)
def test_impossible_fields_are_refused_by_name(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Model.from_dict({"kind": "dit", **fields})


def test_a_resolution_that_patches_do_not_tile_is_refused() -> None:
    with pytest.raises(ValueError, match="patch_size must divide the resolution 10, and 4 does not; 1, 2, 5, 10 do"):
        DiT(patch_size=4).build(channels=1, out_channels=1, resolution=10, conditions=of_classes(0))
