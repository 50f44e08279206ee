"""The examples: training code in the form of known codebases, under a study."""

import importlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from curriculum_search.data import Digits, to_float
from curriculum_search.experiment import OwnTrainer
from curriculum_search.models.encoders import VAE
from curriculum_search.search.load import load_study
from curriculum_search.trainers import train
from curriculum_search.training import PlainSession

EXAMPLES = Path(__file__).parents[1] / "examples"
STUDIES = sorted(EXAMPLES.glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_an_example_trains_and_what_it_reports_gets_better(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    batch_size = load_study(path, {}).base.training.batch_size
    steps = 20 if path.stem.startswith("diffusers") else 200
    values = {"base.training.total_images": steps * batch_size, "base.training.num_evaluations": 10}
    file = load_study(path, values | {"base.curriculum.num_clusters": 4})
    session = PlainSession(run_dir=tmp_path, device=torch.device("cpu"))
    assert isinstance(file.base.trainer, OwnTrainer)
    file.base.check()
    result = train(file.base, session, tmp_path)
    first, *_, last = (report.metrics[file.study.objective] for report in session.reports)
    assert last < first
    assert result.images == file.base.training.total_images
    assert len([switch for report in session.reports for switch in report.switches]) >= 4


@pytest.mark.parametrize("name", ["dit", "edm", "points", "sit"])
def test_an_example_that_was_ended_goes_on(tmp_path: Path, name: str) -> None:
    values = {"base.training.total_images": 640, "base.training.num_evaluations": 2}
    file = load_study(EXAMPLES / f"{name}.yaml", values)

    class Ending(PlainSession):
        def report(self, report: object) -> None:
            super().report(report)  # type: ignore[arg-type]
            if len(self.reports) == 1:
                raise SystemExit

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    device = torch.device("cpu")
    train(file.base, PlainSession(run_dir=whole, device=device), tmp_path)
    with pytest.raises(SystemExit):
        train(file.base, Ending(run_dir=parts, device=device), tmp_path)
    session = PlainSession(run_dir=parts, device=device)
    train(file.base, session, tmp_path)
    assert [report.images for report in session.reports] == [320, 640]


def test_the_autoencoder_learns_and_is_one_that_encoder_vae_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    autoencoder = importlib.import_module("autoencoder")
    folder = tmp_path / "vae"
    command = ["autoencoder.py", str(folder), "--data", "{kind: digits}", "--steps", "60", "--width", "8"]
    monkeypatch.setattr(sys, "argv", command)
    autoencoder.main()
    first, *_, last = (float(line.split()[-1]) for line in capsys.readouterr().out.splitlines() if "absolute" in line)
    assert last < 0.7 * first
    encoder, digits = VAE(path=str(folder), sample=False), Digits().load()
    encoder.check(digits)
    assert encoder.shape_of(digits) == (4, 2, 2)
    images = digits.stored(np.arange(256))
    codec = encoder.load(torch.device("cpu"))
    latents = codec.encode(images, None)
    assert float(latents.std()) == pytest.approx(1, abs=0.1)
    error = (to_float(codec.decode(latents).images) - to_float(images)).abs().mean()
    assert float(error) == pytest.approx(last, rel=0.3)
    with pytest.raises(SystemExit, match="has an autoencoder already"):
        autoencoder.main()
