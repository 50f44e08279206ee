"""What latents cost: reading them in each of their forms, encoding images and decoding samples.

    .venv/bin/python benchmarks/latents.py [--vae models/sd-vae-ft-ema] [--resolution 256]

Latents are 4 channels of an eighth of the resolution, random ones, in a folder of their own; batches are read at random
positions, as training does, once before the clock runs.  With ``--vae`` images are encoded and latents decoded, on the
GPU where there is one.
"""

import argparse
import json
import tempfile
import time
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import torch

from curriculum_search.data import Latents, LatentSet, write_tensors
from curriculum_search.models.encoders import VAE
from curriculum_search.training import default_device

BATCH = 256


def main() -> None:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=256, help="of the images, in pixels")
    parser.add_argument("--images", type=int, default=4096, help="latents in a file")
    parser.add_argument("--vae", help="an autoencoder of diffusers: a folder")
    arguments = parser.parse_args()
    side = arguments.resolution // 8
    random = np.random.default_rng(0)
    moments = random.random((arguments.images, 8, side, side), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        for name, source in write(Path(folder), moments).items():
            latents = source.load()
            assert isinstance(latents, LatentSet)
            indices = [random.integers(0, len(latents), BATCH) for _ in range(16)]
            rate = BATCH * len(indices) / timed(lambda: [latents.read(part) for part in indices])  # noqa: B023
            print(
                f"read {name:<12} {rate:12,.0f} latents a second, {rate * moments[0].nbytes / 2**20:8,.0f} MiB a second"
            )
    if arguments.vae is not None:
        measure_autoencoder(arguments.vae, arguments.resolution)


def write(folder: Path, moments: np.ndarray) -> dict[str, Latents]:
    """The same latents in several forms."""
    np.save(folder / "latents.npy", moments)
    (folder / "tensors").mkdir()
    write_tensors(folder / "tensors" / "0.safetensors", {"latents": moments}, {})
    with zipfile.ZipFile(folder / "edm2.zip", "w") as archive:
        for number, row in enumerate(moments):
            content = BytesIO()
            np.save(content, row)
            archive.writestr(f"{number:08d}.npy", content.getvalue())
        archive.writestr("dataset.json", json.dumps({"labels": None}))
    with zipfile.ZipFile(folder / "edm2.zip") as archive:
        archive.extractall(folder / "edm2")
    return {
        ".npy": Latents(path=str(folder / "latents.npy"), layout="mean_std"),
        "safetensors": Latents(path=str(folder / "tensors"), layout="mean_std"),
        "zip": Latents(path=str(folder / "edm2.zip")),
        "folder": Latents(path=str(folder / "edm2")),
    }


def measure_autoencoder(path: str, resolution: int) -> None:
    """Encode and decode some batches."""
    device = default_device()
    codec = VAE(path=path).load(device)
    images = torch.randint(0, 256, (32, 3, resolution, resolution), dtype=torch.uint8, device=device)
    values = codec.encode(images, None)
    for name, work in (("encode", lambda: codec.encode(images, None)), ("decode", lambda: codec.decode(values))):
        print(f"{name:<17} {len(images) / timed(work):12,.1f} images a second on {device}")


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes, after a first time that does not count."""
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
