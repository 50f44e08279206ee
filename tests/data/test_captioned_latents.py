"""Latents with captions: each has those of its image, and a mirrored image's are the image's."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.captioned import captions_of_digits, save_bert, write_captioned_digits
from support.latent_files import COUNT, DEVIATIONS, MEANS, lightning_dit, u_vit_coco

from curriculum_search.conditions import Captions, TextCondition
from curriculum_search.data import CaptionedLatents, write_captions
from curriculum_search.text import SentenceEncoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> SentenceEncoder:
    return SentenceEncoder(path=save_bert(tmp_path_factory.mktemp("captioned_latents") / "bert"))


@pytest.fixture
def source(tmp_path: Path, encoder: SentenceEncoder) -> CaptionedLatents:
    """Latents and their mirror images, with two captions each."""
    path = lightning_dit(tmp_path / "latents")
    write_captions(Path(path), captions_of_digits(encoder, tmp_path / "encoded", count=COUNT))
    return CaptionedLatents(path=path, text_encoder=encoder, encoded_path=str(tmp_path / "encoded"))


def test_each_latent_and_its_twin_have_the_captions_of_their_image(source: CaptionedLatents) -> None:
    latents = source.load()
    assert len(latents) == 2 * COUNT
    assert latents.labels is None
    _, condition = latents.read(np.array([1, COUNT + 1, 2 * COUNT - 1]))
    assert isinstance(condition, TextCondition)
    captions = latents.conditions
    assert isinstance(captions, Captions)
    first, twin, last = (captions.texts[row] for row in condition.rows.tolist())
    assert first == twin == "the digit one"
    assert last == f"the digit {captions.texts[2 * COUNT - 1].split()[1]}"
    assert latents.summary.endswith(f"{4 * COUNT} captions (2 an image, sentence encoder)")


def test_other_captions_are_other_data(source: CaptionedLatents) -> None:
    before, stamp = source.load().fingerprint, source.stamp()
    document = Path(source.path) / "captions.json"
    document.write_text(document.read_text().replace("written", "was drawn"))
    assert source.stamp() != stamp
    assert replace(source, use_twins=True).load_images().fingerprint != before


def test_the_reference_is_a_folder_of_captioned_images(source: CaptionedLatents, tmp_path: Path) -> None:
    write_captioned_digits(tmp_path / "held-out", 12, start=30)
    reference = replace(source, reference_path=str(tmp_path / "held-out")).reference()
    source.load().conditions.check_reference(reference.conditions)
    assert len(reference) == 12


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"captions.json is not there: the captions of the latents; data.captions_path names another"),
        ("[", r"captions.json: .*; it must be a list with a list of captions for each latent"),
        ("{}", rf"captions.json: is dict, and there are {COUNT} latents"),
        ("[]", rf"captions.json: is a list of 0, and there are {COUNT} latents"),
        (json.dumps([["a"]] * (COUNT - 1) + [[]]), rf"captions.json: latent {COUNT - 1} has \[\]; it must be a list"),
        (json.dumps([["a"]] * (COUNT - 1) + [["a", " "]]), rf"latent {COUNT - 1} has \['a', ' '\]; it must be"),
        (json.dumps([["a"]] * (COUNT - 1) + ["a"]), rf"latent {COUNT - 1} has 'a'; it must be a list"),
    ],
)
def test_captions_that_do_not_fit_the_latents_are_named(
    source: CaptionedLatents, content: str | None, message: str
) -> None:
    document = Path(source.path) / "captions.json"
    if content is None:
        document.unlink()
    else:
        document.write_text(content)
    with pytest.raises(ValueError, match=message):
        source.check()


def test_u_vits_latents_of_coco_have_the_captions_of_its_file_in_the_order_of_its_ids(
    encoder: SentenceEncoder, tmp_path: Path
) -> None:
    ids = [100 - i for i in range(COUNT)]
    content = {
        "images": [{"id": i, "file_name": f"COCO_{i}.jpg"} for i in ids],
        "annotations": [{"image_id": i, "caption": f"image {i}, {text}"} for text in ("one", "two") for i in ids],
    }
    document = tmp_path / "captions_train2014.json"
    document.write_text(json.dumps(content))
    source = CaptionedLatents(
        path=u_vit_coco(tmp_path / "train"),
        captions_path=str(document),
        text_encoder=encoder,
        encoded_path=str(tmp_path / "encoded"),
    )
    source.check()
    latents = source.load()
    values, condition = latents.read(np.array([3]))
    np.testing.assert_allclose(values[0, 0], MEANS[3], rtol=1e-6)
    np.testing.assert_allclose(values[0, 1], DEVIATIONS[3], rtol=1e-5)
    first = 100 - COUNT + 1
    assert latents.conditions.titles(condition) == (f"image {first + 3}, one",)
    document.write_text(json.dumps({name: rows[:-1] for name, rows in content.items()}))
    with pytest.raises(ValueError, match=rf"train2014.json: .*\(image_id {first}\)"):
        source.check()
    some = {"images": content["images"][:2], "annotations": content["annotations"][:2]}
    document.write_text(json.dumps(some))
    with pytest.raises(ValueError, match=rf"train2014.json: has captions of 2 images, and there are {COUNT} latents"):
        source.check()


def test_a_text_encoder_that_is_not_there_is_said_by_a_check(source: CaptionedLatents) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=r"text_encoder: "):
        replace(source, text_encoder=SentenceEncoder(path="/nowhere/bert")).check()
