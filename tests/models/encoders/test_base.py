import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.pages import ROOT, blocks, write_files

from curriculum_search.data import MemoryImages
from curriculum_search.models.encoders import PIXELS, Encoder


def test_every_kind_is_registered() -> None:
    assert {"pixels", "vae"} <= set(Encoder.kinds())


def test_an_encoder_comes_back_from_its_own_configuration() -> None:
    for fields in ({"kind": "pixels"}, {"kind": "vae", "path": "vae", "scale": [0.5, 2.0]}):
        encoder = Encoder.from_dict(fields)
        assert Encoder.from_dict(encoder.to_dict()) == encoder
    with pytest.raises(ValueError, match="kind 'vq' is not one of"):
        Encoder.from_dict({"kind": "vq"})


def test_what_has_a_shape_passes_the_check_of_an_encoder_that_needs_no_files() -> None:
    PIXELS.check(MemoryImages("flat", np.zeros((2, 3, 4, 4), np.uint8), None))


def test_the_encoder_of_ones_own_in_the_documentation_is_trained_with_and_gives_the_images_back(tmp_path: Path) -> None:
    page = ROOT / "docs" / "how-to" / "latents.md"
    write_files(page, tmp_path)
    (study,) = (block.text for block in blocks(page) if "wavelet.py" in block.text and block.language == "yaml")
    (tmp_path / "study.yaml").write_text(study)
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "trained on (4, 4, 4)" in done.stdout


#: Kinds are known to a whole process, so those of one's own are defined in one of theirs.
PROGRAM = """
from pathlib import Path
import numpy as np
import torch
from curriculum_search.loading import load_experiment
from curriculum_search.training import PlainSession, train
overrides = {
    "training.total_images": 128, "training.batch_size": 32, "training.num_evaluations": 1,
    "model.hidden_size": 16, "model.num_heads": 2, "evaluation.grid_images": 3,
    "evaluation.evaluators": [
        {"kind": "val_loss"},
        {"kind": "frechet", "num_samples": 24, "extractor": {"kind": "pixels", "num_components": 4}},
    ],
    "evaluation.final_evaluators": [],
}
experiment, _ = load_experiment(Path("study.yaml"), overrides)
experiment.check()
images = experiment.data.load()
stored, codec = images.stored(np.arange(64)), experiment.encoder.load(torch.device("cpu"))
values = codec.encode(stored, None)
shape = experiment.encoder.shape_of(images)
assert values.shape[1:] == shape
assert torch.equal(codec.decode(values).images, stored)
result = train(experiment, PlainSession(run_dir=Path.cwd()), Path.cwd() / "cache")
assert 0 < result.metrics["val_loss"] < 10 and result.metrics["fd_pca4_24"] > 0, result
print("trained on", shape)
"""
