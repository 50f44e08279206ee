"""Images encoded once, with real Ray on one machine, and trained on."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.autoencoder import save_autoencoder
from support.captioned import save_bert, write_captioned_digits
from support.runner import Runner, tiny_experiment

from curriculum_search.commands.encode import _Bar, encode_images
from curriculum_search.conditions import Captions
from curriculum_search.data import (
    PROVENANCE,
    CaptionedFolder,
    CaptionedLatents,
    Digits,
    Latents,
    LatentSet,
    open_tensors,
)
from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError
from curriculum_search.models import DiT, TextDiT
from curriculum_search.models.encoders import VAE
from curriculum_search.text import SentenceEncoder

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    path = save_autoencoder(tmp_path_factory.mktemp("vae") / "vae")
    return tiny_experiment(
        encoder=VAE(path=path, batch_size=64), model=DiT(patch_size=2, hidden_size=16, depth=1, num_heads=2)
    )


def encode(experiment: Experiment, folder: Path, *, flip: bool = False, part_images: int = 500) -> None:
    encode_images(experiment, {}, where="my.yaml", folder=folder, flip=flip, part_images=part_images)


@pytest.fixture(scope="module")
def encoded(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits and mirrored digits in four parts, encoded once."""
    folder = tmp_path_factory.mktemp("latents") / "digits"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        encode(experiment, folder, flip=True)
    return folder


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def test_every_image_is_encoded_in_its_place_with_its_label_and_its_mirror_image(
    experiment: Experiment, encoded: Path
) -> None:
    assert [path.name for path in parts(encoded)] == [f"latents-{n:05d}-of-00004.safetensors" for n in range(4)]
    assert isinstance(experiment.encoder, VAE)
    codec, digits = experiment.encoder.load(CPU), Digits().load()
    images = digits.read(np.arange(len(digits)))[0]
    files = [open_tensors(path).arrays for path in parts(encoded)]
    for name, shown in (("latents", images), ("latents_flip", images.flip(-1))):
        found = torch.from_numpy(np.concatenate([file[name] for file in files]))
        torch.testing.assert_close(found, codec.posterior(shown).flatten(1, 2), rtol=1e-4, atol=1e-4)
    assert digits.labels is not None
    assert np.concatenate([file["labels"] for file in files]).tolist() == digits.labels.tolist()


def test_a_run_reads_them_and_compares_its_samples_with_the_images_that_they_are_of(
    experiment: Experiment, encoded: Path, tmp_path: Path
) -> None:
    latents = replace(experiment, data=Latents(path=str(encoded)))
    latents.check()
    found = latents.data.load()
    assert isinstance(found, LatentSet)
    assert len(found) == 2 * 1797
    assert latents.data.reference().fingerprint == Digits().load().fingerprint
    metrics = Runner(tmp_path)(latents).metrics
    assert np.isfinite([metrics["val_loss"], metrics["fd_pca4_24"]]).all()


def test_captions_are_kept_with_the_latents_and_a_text_to_image_run_reads_both(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    write_captioned_digits(tmp_path / "train", 60)
    encoder = SentenceEncoder(path=save_bert(tmp_path / "bert"))
    images = CaptionedFolder(
        path=str(tmp_path / "train"), text_encoder=encoder, encoded_path=str(tmp_path / "encoded"), channels=1
    )
    captioned = replace(experiment, data=images, model=TextDiT(patch_size=2, hidden_size=16, depth=1, num_heads=2))
    encode(captioned, tmp_path / "latents", part_images=40)
    assert f"data: {{kind: captioned_latents, path: {tmp_path / 'latents'}}}" in capsys.readouterr().out
    source = CaptionedLatents(
        path=str(tmp_path / "latents"), text_encoder=encoder, encoded_path=str(tmp_path / "encoded")
    )
    latents = replace(captioned, data=source)
    latents.check()
    assert isinstance(found := source.load().conditions, Captions)
    assert isinstance(original := images.load().conditions, Captions)
    assert (found.texts, found.counts.tolist()) == (original.texts, original.counts.tolist())
    assert source.reference().fingerprint == images.load().fingerprint
    metrics = Runner(tmp_path)(latents).metrics
    assert np.isfinite([metrics["val_loss"], metrics["fd_pca4_24"]]).all()
    other = replace(captioned, data=replace(images, path=str(write_captioned_digits(tmp_path / "b", 60, start=60))))
    with pytest.raises(UserError, match=r"was encoded with another fingerprint, source; give another folder"):
        encode(other, tmp_path / "latents", part_images=40)
    before = source.stamp()
    encode(captioned, tmp_path / "latents", part_images=40)
    assert source.stamp() == before


def test_what_each_part_holds_is_written_in_it(experiment: Experiment, encoded: Path) -> None:
    words = [json.loads(open_tensors(path).metadata[PROVENANCE]) for path in parts(encoded)]
    assert [word["part"] for word in words] == [0, 1, 2, 3]
    assert [word["statistics"]["count"] for word in words] == [500, 500, 500, 297]
    assert {word["images"] for word in words} == {1797}
    assert words[0]["source"] == Digits().to_dict()
    assert words[0]["encoder"]["path"] == experiment.encoder.to_dict()["path"]
    moments = open_tensors(parts(encoded)[0]).arrays["latents"]
    mean, deviation = moments[:, :2], moments[:, 2:]
    assert words[0]["statistics"]["mean"] == pytest.approx(mean.mean((0, 2, 3)).tolist(), rel=1e-4)
    square = np.square(mean).mean((0, 2, 3)) + np.square(deviation).mean((0, 2, 3))
    assert words[0]["statistics"]["square"] == pytest.approx(square.tolist(), rel=1e-4)


def test_the_same_command_writes_what_is_missing_or_damaged_and_nothing_else(
    experiment: Experiment, encoded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in parts(encoded)}
    times = {path: path.stat().st_mtime_ns for path in before}
    gone, cut, *whole = before
    gone.unlink()
    cut.write_bytes(before[cut][:-10])
    encode(experiment, encoded, flip=True)
    assert {path: path.read_bytes() for path in parts(encoded)} == before
    assert all(path.stat().st_mtime_ns == times[path] for path in whole)
    output = capsys.readouterr().out
    assert "2 of 4 parts are there" in output
    assert f"data: {{kind: latents, path: {encoded}}}" in output


def test_parts_of_something_else_are_not_mixed(experiment: Experiment, encoded: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"was encoded with another flip; give another folder, or empty this one"):
        encode(experiment, encoded)
    other = replace(experiment, encoder=VAE(path=save_autoencoder(tmp_path / "other", seed=1)))
    with pytest.raises(UserError, match=r"was encoded with another autoencoder, encoder; give another folder"):
        encode(other, encoded, flip=True)
    with pytest.raises(UserError, match=r"lies there already and is not of these parts"):
        encode(experiment, encoded, flip=True, part_images=1000)


def test_training_with_another_autoencoder_is_refused(experiment: Experiment, encoded: Path, tmp_path: Path) -> None:
    other = VAE(path=save_autoencoder(tmp_path / "other", seed=1))
    with pytest.raises(ValueError, match=r"encoder: digits 4x4 was encoded by another autoencoder .*: encode the"):
        replace(experiment, data=Latents(path=str(encoded)), encoder=other).check()


def test_a_reference_that_is_gone_is_named_with_the_field_for_another(
    experiment: Experiment, encoded: Path, tmp_path: Path
) -> None:
    from curriculum_search.data import write_tensors

    for path in parts(encoded):
        found = open_tensors(path)
        words = json.loads(found.metadata[PROVENANCE])
        words["source"] = {"kind": "zip", "path": "/nowhere/train.zip"}
        write_tensors(tmp_path / path.name, found.arrays, {PROVENANCE: json.dumps(words)})
    with pytest.raises(ValueError, match=r"from images that cannot be read \(/nowhere/train\.zip .*reference_path"):
        replace(experiment, data=Latents(path=str(tmp_path))).check()


def test_what_cannot_be_encoded_is_said_before_anything_starts(experiment: Experiment, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"my\.yaml: encoder must be of kind vae to encode images"):
        encode(tiny_experiment(), tmp_path)
    with pytest.raises(UserError, match="--part must be at least 1, not 0"):
        encode(experiment, tmp_path, part_images=0)
    color = VAE(path=save_autoencoder(tmp_path / "color", channels=3))
    with pytest.raises(UserError, match=r"my\.yaml: .*color takes images of 3 channels, and digits 8x8 has 1"):
        encode(replace(experiment, encoder=color), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_reads_its_line_and_says_a_mistake_once(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text("encoder: {kind: pixels}\n")
    done = subprocess.run(
        [sys.executable, ROOT / "jobs" / "encode.py", tmp_path / "e.yaml", tmp_path / "out", "seed=1", "--flip"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "encoder must be of kind vae to encode images" in done.stderr


def test_a_log_has_a_line_every_so_often_with_the_speed_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr("curriculum_search.commands.encode.time.monotonic", lambda: now[0])
    with _Bar(total=10_000, done=1_000) as bar:
        for seconds, count in ((14.0, 280), (2.0, 40), (14.0, 280), (2.0, 40)):
            now[0] += seconds
            bar.advance(count)
            bar.tick()
    assert capsys.readouterr().out.splitlines() == [
        "encode: 1,320 of 10,000 images, 20 a second, about 7 min left",
        "encode: 1,640 of 10,000 images, 20 a second, about 7 min left",
    ]


def test_a_terminal_has_a_bar_and_no_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("curriculum_search.commands.encode._LINE_SECONDS", 0.0)
    with _Bar(total=1_000, done=100) as bar:
        bar.advance(200)
        bar.tick()
    output = capsys.readouterr().out
    assert "━" in output
    assert "300/1000" in output
    assert "a second" not in output
