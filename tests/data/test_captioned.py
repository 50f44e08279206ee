"""Sources of captioned images: a batch has each image with one of its own captions, on any number of workers."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from support.captioned import save_bert, write_captioned_digits

from curriculum_search.conditions import Captions, TextCondition
from curriculum_search.data import CaptionedFolder, Coco, DataOrder, Prefetcher, rank_slice
from curriculum_search.text import SentenceEncoder

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("captioned")
    write_captioned_digits(root / "train", 30)
    write_captioned_digits(root / "held-out", 12, start=30)
    save_bert(root / "bert")
    return root


@pytest.fixture(scope="module")
def source(folder: Path) -> CaptionedFolder:
    return CaptionedFolder(
        path=str(folder / "train"),
        reference_path=str(folder / "held-out"),
        text_encoder=SentenceEncoder(path=str(folder / "bert")),
        encoded_path=str(folder / "encoded"),
    )


def rows(source: CaptionedFolder, world_size: int, start: int, steps: int) -> list[int]:
    images = source.load()
    shares = [
        Prefetcher(images, DataOrder(30, 1), start, 12, rank_slice(12, rank, world_size), CPU)
        for rank in range(world_size)
    ]
    found = []
    for _ in range(steps):
        for share in shares:
            _, condition = next(share)
            assert isinstance(condition, TextCondition)
            found += condition.rows.tolist()
    for share in shares:
        share.close()
    return found


def test_what_was_found_is_said_in_one_line_and_captions_are_not_passed_over(source: CaptionedFolder) -> None:
    source.check()
    assert source.summary() == (
        "train 8x8: 30 grey images of 8x8 pixels; 60 captions (2 an image, sentence encoder) | "
        "reference held-out 8x8: 12 grey images of 8x8 pixels; 24 captions (2 an image, sentence encoder)"
    )


def test_captions_are_drawn_by_the_seeded_order_alone(source: CaptionedFolder) -> None:
    alone = rows(source, 1, 0, 10)
    assert rows(source, 2, 0, 10) == alone
    assert rows(source, 1, 72, 4) == alone[72:]
    images = DataOrder(30, 1).indices(0, 120)
    assert [row // 2 for row in alone] == images.tolist()
    assert len(set(alone)) > 45  # of 60: now one caption of an image, now the other


def test_other_captions_are_other_data(source: CaptionedFolder, folder: Path, tmp_path: Path) -> None:
    write_captioned_digits(tmp_path / "train", 30)
    document = tmp_path / "train" / "metadata.jsonl"
    document.write_text(document.read_text().replace("written", "drawn"))
    other = dataclasses.replace(source, path=str(tmp_path / "train"))
    assert other.load().fingerprint != source.load().fingerprint


def test_a_text_encoder_that_is_not_there_and_images_without_captions_are_said_by_a_check(
    source: CaptionedFolder, tmp_path: Path
) -> None:
    away = dataclasses.replace(source, text_encoder=SentenceEncoder(path=str(tmp_path / "away")))
    with pytest.raises(FileNotFoundError, match=r"text_encoder: text encoder sentence: .*away does not exist"):
        away.check()
    write_captioned_digits(tmp_path / "train", 4)
    (tmp_path / "train" / "0002.png").unlink()
    with pytest.raises(ValueError, match=r"path: .*metadata.jsonl: 1 of 4 captioned images are not there \(0002.png\)"):
        dataclasses.replace(source, path=str(tmp_path / "train")).check()


def test_coco_has_captions_in_a_file_of_their_own_for_each_folder(
    source: CaptionedFolder, folder: Path, tmp_path: Path
) -> None:
    for part in ("train", "held-out"):
        lines = [json.loads(line) for line in (folder / part / "metadata.jsonl").read_text().splitlines()]
        content = {
            "images": [{"id": i, "file_name": line["file_name"]} for i, line in enumerate(lines)],
            "annotations": [{"image_id": i, "caption": text} for i, line in enumerate(lines) for text in line["text"]],
        }
        (tmp_path / f"{part}.json").write_text(json.dumps(content))
    coco = Coco(
        path=source.path,
        reference_path=source.reference_path,
        captions_path=str(tmp_path / "train.json"),
        reference_captions_path=str(tmp_path / "held-out.json"),
        text_encoder=source.text_encoder,
        encoded_path=source.encoded_path,
    )
    coco.check()
    for theirs, ours in ((coco.load(), source.load()), (coco.reference(), source.reference())):
        assert isinstance(theirs.conditions, Captions)
        assert isinstance(ours.conditions, Captions)
        assert theirs.conditions.texts == ours.conditions.texts
    assert coco.stamp() != ""
    with pytest.raises(ValueError, match="reference_path and reference_captions_path belong together"):
        dataclasses.replace(coco, reference_captions_path=None)
