"""The model of images and words is trained once, from integers and float64 alone."""

from pathlib import Path

import pytest
import torch
from support.captioned import save_bert, write_captioned_digits

from curriculum_search.data import CaptionedFolder
from curriculum_search.evaluation import Extractor, Sources, WordsAndImages
from curriculum_search.evaluation.features.words_and_images import bag_of_words, vocabulary
from curriculum_search.text import SentenceEncoder

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> CaptionedFolder:
    folder = tmp_path_factory.mktemp("words")
    return CaptionedFolder(
        path=str(write_captioned_digits(folder / "train", 40)),
        reference_path=str(write_captioned_digits(folder / "held-out", 20, start=40)),
        text_encoder=SentenceEncoder(path=save_bert(folder / "bert")),
        encoded_path=str(folder / "encoded"),
    )


def test_captions_are_shares_of_their_words(source: CaptionedFolder) -> None:
    words = vocabulary([source.load(), source.reference()])
    assert words[:4] == ("a", "by", "digit", "eight")
    shares = bag_of_words(["A digit: a DIGIT by", "", "eight"], words)
    assert shares[0, :4].tolist() == pytest.approx([0.4, 0.2, 0.4, 0])
    assert shares.sum(1).tolist() == pytest.approx([1, 0, 1])


def test_it_is_trained_once_and_comes_out_the_same_with_other_threads(source: CaptionedFolder, tmp_path: Path) -> None:
    extractor, threads = WordsAndImages(num_features=4, training_images=384), torch.get_num_threads()
    assert extractor.label in Extractor.kinds()
    checksums = []
    for count in (1, 2):
        torch.set_num_threads(count)
        sources = Sources(
            train=source.load(), reference=source.reference(), device=CPU, cache_dir=tmp_path / str(count)
        )
        checksums += [extractor.load(sources).checksum for _ in range(2)]
    torch.set_num_threads(threads)
    assert len(set(checksums)) == 1


@pytest.mark.parametrize(("fields", "name"), [({"num_features": 0}, "num_features"), ({"seed": -1}, "seed")])
def test_impossible_fields_are_refused_by_name(fields: dict[str, int], name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} of extractor words_and_images"):
        WordsAndImages(**fields)  # type: ignore[arg-type]
