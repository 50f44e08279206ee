"""Files of weights that other programs wrote, as they write them."""

import argparse
import gzip
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.conditions import of_classes
from torch import nn

from curriculum_search.conditions import ClassCondition
from curriculum_search.diffusion import Flow
from curriculum_search.models import DiT, dit_weights, sit_weights, what_it_is
from curriculum_search.training import checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")

CONFIG = DiT(patch_size=2, hidden_size=16, depth=1, num_heads=2)


def network(seed: int, out_channels: int = 8) -> nn.Module:
    torch.manual_seed(seed)
    module = CONFIG.build(channels=4, out_channels=out_channels, resolution=8, conditions=of_classes(10))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter))
    return module


def dit_checkpoint() -> dict[str, Any]:
    """As train.py of facebookresearch/DiT makes it, but for the size."""
    model, ema = network(0), network(1)
    optimizer = torch.optim.AdamW(model.parameters())
    model(
        torch.zeros(2, 4, 8, 8), torch.zeros(2), ClassCondition.of(torch.zeros(2, dtype=torch.int64))
    ).mean().backward()
    optimizer.step()
    args = argparse.Namespace(data_path="imagenet", model="DiT-XL/2", image_size=256)
    return {"model": model.state_dict(), "ema": ema.state_dict(), "opt": optimizer.state_dict(), "args": args}


def without_args() -> dict[str, Any]:
    content = dit_checkpoint()
    del content["args"]
    return content


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (dit_checkpoint(), "a checkpoint of DiT's train.py (model, ema, opt, args)"),
        (without_args(), "a checkpoint of DiT's or SiT's train.py (model, ema, opt)"),
        (network(0).state_dict(), "a state dict of DiT or SiT"),
        (
            torch.optim.AdamW([nn.Parameter(torch.zeros(1))]).state_dict(),
            "a pickle of another program, which begins with",
        ),
        ({"pytorch-lightning_version": "2", "state_dict": {}}, "a checkpoint of PyTorch Lightning"),
        (
            {"time_embed.0.weight": torch.zeros(1), "input_blocks.0.0.weight": torch.zeros(1)},
            "a state dict of improved-diffusion's UNet",
        ),
        (
            {"conv_in.weight": torch.zeros(1), "time_embedding.linear_1.weight": torch.zeros(1)},
            "a state dict of diffusers' UNet",
        ),
        ({"step": 3, "encoder.weight": torch.zeros(1)}, "a pickle of another program, which begins with"),
    ],
)
def test_what_pytorch_saved_for_another_program_is_told_by_the_names_in_it(
    tmp_path: Path, content: Any, words: str, zipped: bool
) -> None:
    path = tmp_path / "last.pt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert what_it_is(path).startswith(words)


def test_our_own_checkpoint_is_told_from_one_of_dit(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    state = dict.fromkeys(("identity", "images", "seconds", "reports", "optimizer", "sampler"), 0)
    weights = network(0).state_dict()
    checkpoint.save(path, {**state, "network": weights, "ema": weights})
    assert what_it_is(path) == "a checkpoint of this project"


LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 2703000000\n"
SAFETENSORS = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (LFS_POINTER, "a Git LFS pointer and not the file itself, which `git lfs pull` fetches"),
        (b"", "empty"),
        (b"\n<!DOCTYPE html><html>login</html>", "a web page, such as a server answers with"),
        (len(SAFETENSORS).to_bytes(8, "little") + SAFETENSORS + bytes(4), "a safetensors file"),
        (bytes(4096), "4,096 bytes that begin with zeros, as a copy that was cut off leaves"),
        (gzip.compress(b"weights", mtime=0), "a gzip archive"),
        (b"kind: dit\npatch_size: 2\n", "text"),
        (b"PK\x03\x04 cut off", "a zip archive that is damaged or was cut off"),
        (b"\x80\x02}q\x00", "a pickle that is damaged or was cut off"),
        (pickle.dumps(np.zeros(3)), "a pickle of another program, which begins with"),
        (bytes(range(200, 256)), "of no known kind"),
    ],
)
def test_what_is_no_file_of_pytorch_is_told_by_how_it_begins(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    assert what_it_is(path).startswith(words)


def test_archives_are_told_apart(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), str(tmp_path / "script.pt"))
    np.savez(tmp_path / "arrays.npz", mu=np.zeros(2))
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("0.png", b"")
    torch.save(dit_checkpoint(), tmp_path / "whole.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:-200])
    found = {path.name: what_it_is(path) for path in tmp_path.iterdir()}
    assert found.pop("whole.pt").startswith("a checkpoint of DiT")
    assert found == {
        "script.pt": "a TorchScript module",
        "arrays.npz": "a NumPy archive",
        "images.zip": "a zip archive without weights",
        "cut.pt": "a zip archive that is damaged or was cut off",
    }


class RunsCode:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.victim), "w")


@pytest.mark.parametrize("protocol", [2, 4])
def test_looking_at_a_file_runs_nothing_in_it(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"ema": RunsCode(tmp_path / "victim")}, protocol=protocol))
    assert what_it_is(path).startswith("a pickle of another program, which begins with ema, ")
    torch.save({"ema": RunsCode(tmp_path / "victim")}, tmp_path / "evil.pt")
    with pytest.raises(ValueError, match=r"evil\.pt has no weights of a DiT: it is a pickle of another program"):
        dit_weights(tmp_path / "evil.pt")
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize("saved", ["train.py", "published"])
def test_dits_weights_are_those_that_its_samples_are_made_with_and_load_into_ours(tmp_path: Path, saved: str) -> None:
    path = tmp_path / "DiT-XL-2-256x256.pt"
    content = dit_checkpoint()
    torch.save(content if saved == "train.py" else content["ema"], path)
    ours = network(2)
    ours.load_state_dict(dit_weights(path))
    for name, value in network(1).state_dict().items():
        assert torch.equal(ours.state_dict()[name], value)


@pytest.mark.parametrize(
    ("content", "words"),
    [(LFS_POINTER, "it is a Git LFS pointer"), (b"PK\x03\x04", "it is a zip archive that is damaged"), (b"", "empty")],
)
def test_a_file_without_dits_weights_gets_one_message_that_says_what_it_is(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "dit.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"dit\.pt has no weights of a DiT: .*{words}"):
        dit_weights(path)
    torch.save({"weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="it is a pickle of another program, which begins with"):
        dit_weights(path)


@pytest.mark.parametrize("learn_sigma", [True, False])
def test_sits_weights_are_turned_to_our_direction_of_time(tmp_path: Path, learn_sigma: bool) -> None:
    """SiT's network is DiT's, asked at time 1 for data, 0 for noise, and answers with image - noise."""
    theirs = network(1, out_channels=8 if learn_sigma else 4).eval()
    torch.save({"model": {}, "ema": theirs.state_dict(), "opt": {}}, tmp_path / "sit.pt")
    ours = network(2, out_channels=4).eval()
    ours.load_state_dict(sit_weights(tmp_path / "sit.pt"))
    x, condition = torch.randn(5, 4, 8, 8), ClassCondition.of(torch.arange(5))
    time = torch.tensor([0.0, 0.2, 0.5, 0.93, 1.0])
    with torch.no_grad():
        expected = -theirs(x, 1 - time, condition)[:, :4]
        torch.testing.assert_close(ours(x, time, condition), expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
        noise = torch.randn(5, 4, 8, 8)
        mixed = time[:, None, None, None] * noise + (1 - time)[:, None, None, None] * x
        loss = (theirs(mixed, 1 - time, condition)[:, :4] - (x - noise)).square().flatten(1).mean(1)
        process = Flow()
        found = process.losses(ours, x, process.quantile(time), noise, condition)
        torch.testing.assert_close(found, loss, rtol=1e-3, atol=0)


def test_a_file_without_sits_weights_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "sit.pt").write_bytes(LFS_POINTER)
    with pytest.raises(ValueError, match=r"sit\.pt has no weights of a SiT: it is a Git LFS pointer"):
        sit_weights(tmp_path / "sit.pt")
