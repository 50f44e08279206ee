"""PixArt's outputs are those of diffusers with the same weights, and hidden captions are the empty one."""

import numpy as np
import pytest
import torch
from support.captioned import captions_of_digits, save_bert
from support.conditions import of_classes
from torch import Tensor, nn

from curriculum_search.conditions import Captions, Unconditional
from curriculum_search.models import PixArt
from curriculum_search.text import SentenceEncoder

TINY = PixArt(patch_size=2, hidden_size=48, depth=2, num_heads=3)


@pytest.fixture(scope="module")
def captions(tmp_path_factory: pytest.TempPathFactory) -> Captions:
    folder = tmp_path_factory.mktemp("pixart")
    return captions_of_digits(SentenceEncoder(path=save_bert(folder / "bert")), folder)


def trained(captions: Captions) -> nn.Module:
    """A network whose weights are all random, also where it would begin at zero."""
    torch.manual_seed(0)
    module = TINY.build(channels=4, out_channels=8, resolution=16, conditions=captions).eval()
    for parameter in module.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return module


def as_diffusers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our weights under diffusers' names."""
    renamed = {
        "pos_embed.proj": "x_embedder.proj",
        "adaln_single.emb.timestep_embedder.linear_1": "t_embedder.mlp.0",
        "adaln_single.emb.timestep_embedder.linear_2": "t_embedder.mlp.2",
        "adaln_single.linear": "t_block.1",
        "caption_projection.linear_1": "y_embedder.y_proj.fc1",
        "caption_projection.linear_2": "y_embedder.y_proj.fc2",
        "proj_out": "final_layer.linear",
    }
    full = {"scale_shift_table": state["final_layer.scale_shift_table"]}
    for i in range(TINY.depth):
        here, there = f"transformer_blocks.{i}", f"blocks.{i}"
        renamed |= {
            f"{here}.attn1.to_out.0": f"{there}.attn.proj",
            f"{here}.attn2.to_q": f"{there}.cross_attn.q_linear",
            f"{here}.attn2.to_out.0": f"{there}.cross_attn.proj",
            f"{here}.ff.net.0.proj": f"{there}.mlp.fc1",
            f"{here}.ff.net.2": f"{there}.mlp.fc2",
        }
        full[f"{here}.scale_shift_table"] = state[f"{there}.scale_shift_table"]
        for part in ("weight", "bias"):
            for letter, piece in zip("qkv", state[f"{there}.attn.qkv.{part}"].chunk(3), strict=True):
                full[f"{here}.attn1.to_{letter}.{part}"] = piece
            for letter, piece in zip("kv", state[f"{there}.cross_attn.kv_linear.{part}"].chunk(2), strict=True):
                full[f"{here}.attn2.to_{letter}.{part}"] = piece
    return full | {f"{a}.{part}": state[f"{b}.{part}"] for a, b in renamed.items() for part in ("weight", "bias")}


def test_outputs_are_those_of_diffusers_with_the_same_weights(captions: Captions) -> None:
    from diffusers import PixArtTransformer2DModel

    ours = trained(captions)
    theirs = PixArtTransformer2DModel(
        num_attention_heads=3,
        attention_head_dim=16,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        cross_attention_dim=48,
        sample_size=16,
        patch_size=2,
        caption_channels=8,
        interpolation_scale=1,
        use_additional_conditions=False,
    ).eval()
    odd = theirs.load_state_dict(as_diffusers(ours.state_dict()), strict=False)
    assert not odd.unexpected_keys
    assert set(odd.missing_keys) <= {"pos_embed.pos_embed"}
    x, time = torch.randn(5, 4, 16, 16), torch.tensor([0.0, 1.0, 17.5, 500.0, 999.0])
    condition = captions.drawn(np.arange(5), np.arange(5).astype(np.uint64))
    with torch.no_grad():
        expected = theirs(
            x,
            encoder_hidden_states=condition.tokens.float(),
            timestep=time,
            encoder_attention_mask=condition.mask.long(),
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
        ).sample
        found = ours(x, time, condition)
    assert expected.abs().max() > 0.1
    assert len(set(condition.mask.sum(1).tolist())) > 1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_captions_matter_and_hidden_ones_are_the_empty_one(captions: Captions) -> None:
    module = trained(captions)
    x, time, condition = torch.randn(3, 4, 16, 16), torch.rand(3), captions.of(np.arange(3))
    null = module(x, time, Unconditional())
    torch.testing.assert_close(module(x, time, condition.hide(torch.tensor(True))), null, rtol=0, atol=1e-5)
    assert not torch.allclose(module(x, time, condition), null, atol=1e-2)
    module(x, time, condition).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in module.parameters())


def test_an_untrained_network_returns_zero_and_does_not_look_at_captions_yet(captions: Captions) -> None:
    module = TINY.build(channels=4, out_channels=8, resolution=16, conditions=captions)
    assert not module(torch.randn(2, 4, 16, 16), torch.rand(2), captions.of(np.arange(2))).any()
    assert not any(p.any() for name, p in module.named_parameters() if "cross_attn.proj" in name)


def test_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="model kind pixart is conditioned on captions, and the data have 3 classes"):
        TINY.build(channels=1, out_channels=1, resolution=8, conditions=of_classes(3))
