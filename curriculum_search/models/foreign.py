"""Weights that this project did not write: what a file is, and those of DiT and SiT.  None ever runs code."""

import argparse
import math
import pickletools
import zipfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

_MAX_OPERATIONS = 200_000  # of a pickle that are looked at
_MAX_PICKLES = 6
_START_BYTES = 512

# By how a file begins.
_BEGINNINGS = (
    (b"version https://git-lfs.github.com/", "a Git LFS pointer and not the file itself, which `git lfs pull` fetches"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
)

# By names in a pickle, all of which have to be there, the most particular first.
_DIT = {"x_embedder.proj.weight", "final_layer.linear.weight"}
_PICKLES = (
    ({"format", "identity", "images", "network", "ema", "sampler"}, "a checkpoint of this project"),
    (
        {"model", "ema", "opt", "args", "argparse.Namespace", *_DIT},
        "a checkpoint of DiT's train.py (model, ema, opt, args)",
    ),
    ({"model", "ema", "opt", *_DIT}, "a checkpoint of DiT's or SiT's train.py (model, ema, opt)"),
    (_DIT, "a state dict of DiT or SiT"),
    (
        {"torch_utils.persistence._reconstruct_persistent_obj"},
        "a pickle of NVIDIA's code (EDM, StyleGAN), which holds code",
    ),
    ({"pytorch-lightning_version", "state_dict"}, "a checkpoint of PyTorch Lightning"),
    ({"time_embed.0.weight", "input_blocks.0.0.weight"}, "a state dict of improved-diffusion's UNet"),
    ({"conv_in.weight", "time_embedding.linear_1.weight"}, "a state dict of diffusers' UNet"),
    ({"param_groups", "exp_avg"}, "the state of an optimiser"),
)


def what_it_is(path: Path) -> str:
    """What a file that is no checkpoint of this project is, in words that go on from "it is ".

    Raises:
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(_START_BYTES)
    if size == 0:
        return "empty"
    for beginning, words in _BEGINNINGS:
        if start.startswith(beginning):
            return words
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "a web page, such as a server answers with where a download needs a login"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= size:
        return "a safetensors file"
    if start.startswith(b"PK"):
        return _zip(path)
    if start.startswith(b"\x80"):
        with path.open("rb") as file:
            return _pickle(file)
    if not any(start):
        return f"{size:,} bytes that begin with zeros, as a copy that was cut off leaves"
    return "text" if _is_text(start) else "of no known kind"


def dit_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a DiT in a file of facebookresearch/DiT, for `load_state_dict` of the network that `DiT` builds.

    Takes a published state dict, or what its train.py saves, of which it gives the averaged weights.

    Raises:
        ValueError: the file is something else; the message says what.
        OSError: it cannot be read.
    """
    return _weights(path, "DiT")


def sit_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a SiT in a file of willisma/SiT, as `dit_weights` gives those of a DiT, for the process `Flow`.

    SiT's code counts time from noise at 0 to data at 1 and predicts image - noise; `Flow` has both the other way.  The
    features of time are cos(w t) and sin(w t), and those of 1 - t are sums of the same: so the weights behind them and
    the signs of the last layer are changed, to what says the same but for rounding.  Outputs that SiT's code throws
    away, where it was trained with `learn_sigma`, are left out.

    Raises:
        ValueError, OSError: see `dit_weights`.
    """
    weights = _weights(path, "SiT")
    of_cos, of_sin = weights["t_embedder.mlp.0.weight"].double().chunk(2, dim=1)
    frequencies = torch.exp(-math.log(10_000.0) * torch.arange(of_cos.shape[1], dtype=torch.float64) / of_cos.shape[1])
    cos, sin = frequencies.cos(), frequencies.sin()
    turned = torch.cat([of_cos * cos + of_sin * sin, of_cos * sin - of_sin * cos], dim=1)
    weights["t_embedder.mlp.0.weight"] = turned.to(weights["t_embedder.mlp.0.weight"].dtype)
    _, channels, patch, _ = weights["x_embedder.proj.weight"].shape
    for name in ("final_layer.linear.weight", "final_layer.linear.bias"):
        last = weights[name]
        by_channel = last.reshape(patch * patch, -1, *last.shape[1:])[:, :channels]
        weights[name] = -by_channel.flatten(0, 1)
    return weights


def _weights(path: Path, model: str) -> dict[str, Tensor]:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (torch.OutOfMemoryError, OSError):
        raise
    except Exception as error:  # Whatever damaged bytes bring about.
        raise ValueError(f"{path} has no weights of a {model}: it is {what_it_is(path)}") from error
    weights = content.get("ema", content) if isinstance(content, dict) else {}
    if not set(weights) >= _DIT:
        raise ValueError(f"{path} has no weights of a {model}: it is {what_it_is(path)}")
    return dict(weights)


def _zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            pickles = [name for name in names if name.endswith("/data.pkl")]
            if any("/code/" in name for name in names):
                return "a TorchScript module"
            if pickles:
                with archive.open(pickles[0]) as file:
                    return _pickle(cast(BinaryIO, file))
    except Exception:  # Whatever a damaged archive brings about.
        return "a zip archive that is damaged or was cut off"
    return "a NumPy archive" if any(name.endswith(".npy") for name in names) else "a zip archive without weights"


def _pickle(file: BinaryIO) -> str:
    """What a pickle holds, by the names in it, without making anything of them."""
    names, whole = list[str](), True
    try:
        for _ in range(_MAX_PICKLES):  # PyTorch's older files have a few before the one that counts
            names += _names(islice(pickletools.genops(file), _MAX_OPERATIONS))
    except Exception:  # Whatever damaged bytes bring about, MemoryError among it: a length that is none.
        whole = bool(names)
    found = set(names)
    for wanted, words in _PICKLES:
        if found >= wanted:
            return words
    if not whole:
        return "a pickle that is damaged or was cut off"
    return f"a pickle of another program, which begins with {', '.join(names[:4])}" if names else "a pickle of numbers"


def _names(operations: Iterable[tuple[pickletools.OpcodeInfo, Any, int | None]]) -> Iterator[str]:
    """The texts in a pickle, and the classes and functions that it asks for as ``module.name``."""
    last = ["", ""]
    for operation, argument, _ in operations:
        if operation.name == "GLOBAL":
            yield argument.replace(" ", ".")
        elif operation.name == "STACK_GLOBAL":
            yield ".".join(last)
        elif isinstance(argument, str):
            last = [last[1], argument]
            yield argument


def _is_text(start: bytes) -> bool:
    try:
        return start[:-4].decode().isprintable() or b"\n" in start
    except UnicodeDecodeError:
        return False
