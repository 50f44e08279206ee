"""The examples: training code in the form of known codebases, under a study."""

import importlib
import io
import json
import os
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from curriculum_search.data import CaptionedFolder, Digits, to_float
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


def archive(path: Path, members: dict[str, bytes]) -> None:
    """An npm package as `npm pack` leaves it."""
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))


def test_emojis_are_captioned_and_every_tenth_label_is_held_out_with_all_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES / "emoji"))
    prepare = importlib.import_module("prepare")
    pictures, entries = dict[str, bytes](), []
    for i in range(60):
        codes = [f"1F{i:03X}", f"1F{i:03X}-1F3FB-FE0F"]
        entry = {"label": f"thing {i}", "hexcode": codes[0], "tags": ["thing", f"tag {i}"]}
        entries.append({**entry, "skins": [{"label": f"thing {i}: light", "hexcode": codes[1]}]})
        for name in (codes[0].lower(), codes[1].lower().replace("-fe0f", "")):
            content = io.BytesIO()
            Image.new("RGB", (64, 64), (i, 2 * i, len(pictures))).save(content, "PNG")
            pictures[name] = content.getvalue()
    entries += [{"label": "heart", "hexcode": "2764"}, {"label": "without a picture", "hexcode": "2765"}]
    pictures["2764-fe0f"] = pictures["1f000"]
    words = {"package/en/data.json": json.dumps(entries).encode(), "package/README.md": b"words"}
    archive(tmp_path / "emojibase-data-17.0.0.tgz", words)
    files = {f"package/img/google/64/{name}.png": content for name, content in pictures.items()}
    archive(tmp_path / "emoji-datasource-google-16.0.0.tgz", {"package/package.json": b"{}", **files})

    prepare.main(tmp_path)
    captions = {}
    for part in ("train", "held-out"):
        lines = [json.loads(line) for line in (tmp_path / part / "metadata.jsonl").read_text().splitlines()]
        captions[part] = {line["file_name"].removesuffix(".png"): line["text"] for line in lines}
        for name in captions[part]:
            assert (tmp_path / part / f"{name}.png").read_bytes() == pictures[name]
    assert captions["train"].keys() | captions["held-out"].keys() == pictures.keys()
    labels = {part: {texts[0].split(":")[0] for texts in some.values()} for part, some in captions.items()}
    assert not labels["train"] & labels["held-out"]
    assert 0 < len(labels["held-out"]) < 20
    assert (captions["train"] | captions["held-out"])["1f007-1f3fb"] == ["thing 7: light", "thing 7: light: tag 7"]
    assert (captions["train"] | captions["held-out"])["2764-fe0f"] == ["heart"]
    counts = [len(captions[part]) for part in ("train", "held-out")]
    told = "{} pictures to train on, {} of labels that are held out".format(*counts)
    assert capsys.readouterr().out == f"{tmp_path}: {told}\n"

    source = CaptionedFolder(path=str(tmp_path / "train"), reference_path=str(tmp_path / "held-out"), resolution=16)
    source.check()
    assert [len(images) for images in (source.load(), source.reference())] == counts


def test_without_npm_the_emojis_end_with_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES / "emoji"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"^error: npm pack --silent emojibase-data@.* failed .*: npm and a registry"):
        importlib.import_module("prepare").main(tmp_path / "emoji")
