"""Latents in the forms in which the usual tools leave them."""

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

COUNT = 12
RANDOM = np.random.default_rng(0)
MEANS = RANDOM.normal(0.0, 2.0, (COUNT, 2, 4, 4)).astype(np.float32)
DEVIATIONS = RANDOM.uniform(0.01, 0.1, (COUNT, 2, 4, 4)).astype(np.float32)
MEAN_STD = np.concatenate([MEANS, DEVIATIONS], axis=1)
LABELS = np.arange(COUNT) % 3


def described(names: list[str]) -> str:
    return json.dumps({"labels": [[name, label] for name, label in zip(names, LABELS.tolist(), strict=True)]})


def edm2_names() -> list[str]:
    return [f"00000/img-mean-std-{number:08d}.npy" for number in range(COUNT)]


def edm2_zip(path: Path, *, compression: int = zipfile.ZIP_STORED, rows: NDArray[Any] = MEAN_STD) -> str:
    """As `dataset_tool.py encode` of EDM2 writes it, and REPA's."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, row in zip(edm2_names(), rows, strict=True):
            content = BytesIO()
            np.save(content, row)
            archive.writestr(name, content.getvalue())
        archive.writestr("dataset.json", described(edm2_names()))
    return str(path)


def edm2_folder(path: Path) -> str:
    for name, row in zip(edm2_names(), MEAN_STD, strict=True):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(path / name, row)
    (path / "dataset.json").write_text(described(edm2_names()))
    return str(path)


def lightning_dit(path: Path, *, twins: bool = True) -> str:
    """As extract_features.py of LightningDiT writes it: parts of samples, and of those of the mirrored images."""
    from safetensors.numpy import save_file

    path.mkdir(parents=True)
    for part, rows in enumerate((slice(0, 5), slice(5, COUNT))):
        arrays: dict[str, NDArray[Any]] = {"latents": MEANS[rows], "labels": LABELS[rows]}
        if twins:
            arrays["latents_flip"] = MEANS[rows][..., ::-1].copy()
        save_file(arrays, path / f"latents_rank00_shard{part:03d}.safetensors")
    return str(path)


def fast_dit(path: Path) -> str:
    """As extract_features.py of fast-DiT writes it."""
    for part, rows in (("features", MEANS[:, None] * np.float32(0.18215)), ("labels", LABELS[:, None])):
        folder = path / f"imagenet256_{part}"
        folder.mkdir(parents=True)
        for number, row in enumerate(rows):
            np.save(folder / f"{number}.npy", row)
    return str(path)


def u_vit(path: Path) -> str:
    """As extract_imagenet_feature.py of U-ViT writes it: a pickled pair of moments and label."""
    path.mkdir(parents=True)
    for number, (row, label) in enumerate(zip(MEAN_STD, LABELS, strict=True)):
        pair = np.empty(2, object)
        pair[:] = [row, int(label)]
        np.save(path / f"{number}.npy", pair, allow_pickle=True)
    return str(path)


def u_vit_coco(path: Path) -> str:
    """As extract_mscoco_feature.py of U-ViT writes it: moments, and beside them features of each caption."""
    path.mkdir(parents=True)
    for number, row in enumerate(np.concatenate([MEANS, 2 * np.log(DEVIATIONS)], axis=1)):
        np.save(path / f"{number}.npy", row)
        for caption in range(2):
            np.save(path / f"{number}_{caption}.npy", np.zeros((77, 768), np.float32))
    return str(path)
