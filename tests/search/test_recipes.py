"""The recipes at the literature's scale: each is planned as it is, and trained for a few steps, on data of its shape.

What a processor cannot do in a test's time is made small on the command line: networks, numbers of images, metrics.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.autoencoder import save_autoencoder
from support.captioned import NAMES, save_clip
from support.image_files import edm_zip, picture, write
from support.workplace import Workplace

from curriculum_search.loading import parse_overrides
from curriculum_search.models import UNet
from curriculum_search.runs.capacity import Capacity
from curriculum_search.search import plan
from curriculum_search.search.load import load_study
from curriculum_search.search.measure import Measured
from curriculum_search.training import PlainSession, train
from curriculum_search.training.loop import GRID

SEARCH_SPACES = Path(__file__).parents[2] / "search_spaces"

#: Recipe to the resolution of its images, and what it is given on the command line besides.
RECIPES = {
    "cifar10_edm": (32, []),
    "imagenet64_sit": (64, []),
    "ffhq256": (256, []),
    "imagenet256": (256, []),
    "imagenet256 as a SiT": (
        256,
        [
            "study.name=imagenet256-sit",
            "base.process={kind: flow}",
            "base.evaluation.sampler={kind: heun, num_steps: 25}",
        ],
    ),
    "coco256": (256, []),
    "emoji": (64, []),
    "relief_latent": (32, []),
}
SMALL = [
    "study.proxy={}",
    "study.objective=val_loss",
    "base.training.total_images=32",
    "base.training.batch_size=16",
    "base.training.num_evaluations=1",
    "base.training.compile=false",
    "base.evaluation.evaluators=[{kind: val_loss, num_images: 8, num_levels: 10, num_intervals: 5}]",
    "base.evaluation.final_evaluators=[]",
    "base.evaluation.sampler.num_steps=2",
    "base.evaluation.batch_size=8",
    "base.evaluation.grid_images=4",
]
SMALL_MODEL = {
    "dit": ["base.model.hidden_size=16", "base.model.depth=1", "base.model.num_heads=2"],
    "unet": ["base.model.block_channels=[32, 32]", "base.model.layers_per_block=1", "base.model.attention=[]"],
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An autoencoder that makes 32x32x4 latents of images of 256x256, as Stable Diffusion's does, and a CLIP."""
    folder = tmp_path_factory.mktemp("models")
    save_autoencoder(
        folder / "vae",
        channels=3,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8,) * 4,
    )
    save_autoencoder(
        folder / "relief-vae",
        channels=3,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8,) * 3,
        scaling_factor=1.0,
    )
    save_clip(folder / "clip", positions=77)
    return folder


def images_like(name: str, folder: Path, resolution: int) -> list[str]:
    """Write a few images in the form that a recipe reads; what it is to be told of them."""
    files = [f"00000/img{i:08d}.png" for i in range(24)]
    if name not in ("coco256", "emoji"):
        edm_zip(folder / "images.zip", files, [[file, i % 3] for i, file in enumerate(files)], resolution)
        if name != "relief_latent":
            return [f"base.data.path={folder / 'images.zip'}"]
        np.save(folder / "latents.npy", np.random.default_rng(0).normal(size=(24, 4, 8, 8)).astype(np.float32))
        paths = f"path: {folder / 'latents.npy'}, reference_path: {folder / 'images.zip'}"
        return [f"base.data={{kind: latents, layout: sample, {paths}}}"]
    for part in ("train", "reference"):
        for file in files:
            write(folder / part / file, picture(resolution, resolution))
        rows = [{"file_name": file, "text": f"the digit {NAMES[i % 10]}"} for i, file in enumerate(files)]
        (folder / part / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        images = [{"id": i, "file_name": file} for i, file in enumerate(files)]
        captions = [{"image_id": i, "caption": f"the digit {NAMES[i % 10]}"} for i in range(len(files))]
        (folder / f"{part}.json").write_text(json.dumps({"images": images, "annotations": captions}))
    overrides = [f"base.data.path={folder / 'train'}", f"base.data.reference_path={folder / 'reference'}"]
    if name == "coco256":
        overrides += [
            f"base.data.captions_path={folder / 'train.json'}",
            f"base.data.reference_captions_path={folder / 'reference.json'}",
        ]
    return overrides


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_planned_as_it_is_and_trains_on_data_of_its_shape(
    name: str, models: Path, workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolution, overrides = RECIPES[name]
    path = SEARCH_SPACES / f"{name.split()[0]}.yaml"
    overrides = [*overrides, *images_like(name, workplace.folder, resolution)]
    if resolution == 256:
        overrides.append(f"base.encoder.path={models / 'vae'}")
    if name == "relief_latent":
        overrides += [f"base.encoder.path={models / 'relief-vae'}", "base.evaluation.final_evaluators=[]"]
    if name == "coco256":
        overrides.append(f"base.data.text_encoder.path={models / 'clip'}")
        score = f"{{kind: text_score, num_samples: 30000, extractor: {{kind: clip, path: {models / 'clip'}}}}}"
        overrides.append(f"base.evaluation.final_evaluators=[{score}]")
    file = load_study(path, parse_overrides(overrides))

    measured = Measured(first_start=9.0, start=0.0, per_image=1e-3, evaluation=60.0, final=300.0)
    monkeypatch.setattr(plan, "measure", lambda *_, **__: measured)
    room = Capacity(trials=2, slots=2, workers=16, nodes=2, cpus=256, gpus=32)
    monkeypatch.setattr(plan, "find_capacity", lambda *_: (room, 2))
    status, out, err = workplace.call("search", "--plan", path, *overrides)
    assert (status, err) == (0, "")
    assert f"{file.study.name}: what this study trains" in out
    assert f"{file.study.trials} trials" in out

    model = SMALL_MODEL["unet" if isinstance(file.base.model, UNet) else "dit"]
    small = load_study(path, parse_overrides([*overrides, *SMALL, *model])).base
    session = PlainSession(run_dir=workplace.folder, device=torch.device("cpu"))
    result = train(small, session, workplace.folder / "cache")
    assert result.images == 32
    assert math.isfinite(result.metrics["val_loss"])
    with Image.open(workplace.folder / GRID) as grid:  # samples, decoded
        assert grid.width >= 2 * resolution
