"""What every text encoder has: its kinds, its widths without weights, and an identity of what it gives."""

import dataclasses
from pathlib import Path

import pytest
import torch
from support.captioned import save_bert, save_clip, save_t5

from curriculum_search.text import CLIPText, SentenceEncoder, T5Text, TextEncoder


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> list[TextEncoder]:
    folder = tmp_path_factory.mktemp("encoders")
    return [
        SentenceEncoder(path=save_bert(folder / "bert")),
        T5Text(path=save_t5(folder / "t5")),
        CLIPText(path=save_clip(folder / "clip"), max_tokens=16),
        CLIPText(path=save_clip(folder / "text", text_only=True), max_tokens=16),
    ]


def test_every_kind_is_registered() -> None:
    assert set(TextEncoder.kinds()) == {"clip", "sentence", "t5"}


def test_each_encodes_captions_of_any_length_as_it_does_alone_and_the_empty_one_too(
    encoders: list[TextEncoder],
) -> None:
    captions = ["the digit seven", "", "a two written by hand"]
    for encoder in encoders:
        loaded = encoder.load(torch.device("cpu"))
        together = loaded.encode(captions)
        assert together.tokens.shape == (3, 7, encoder.width)
        assert together.pooled.shape == (3, encoder.pooled_width)
        assert together.mask.sum(1).tolist() == loaded.lengths(captions) == [5, 2, 7]
        for row, caption in enumerate(captions):
            alone = loaded.encode([caption])
            torch.testing.assert_close(alone.tokens[0], together.tokens[row, together.mask[row]], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(alone.pooled[0], together.pooled[row], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(together.pooled[0], together.pooled[2], atol=1e-3)


def test_captions_that_are_too_long_are_cut(encoders: list[TextEncoder]) -> None:
    for encoder in encoders:
        short = TextEncoder.from_dict({**encoder.to_dict(), "max_tokens": 4})
        loaded = short.load(torch.device("cpu"))
        assert loaded.lengths(["a two written by hand"]) == [4]
        assert loaded.encode(["a two written by hand"]).tokens.shape[1] == 4


def test_the_identity_is_of_weights_and_settings_and_not_of_the_place(
    encoders: list[TextEncoder], tmp_path: Path
) -> None:
    bert = encoders[0]
    assert isinstance(bert, SentenceEncoder)
    assert SentenceEncoder(path=save_bert(tmp_path / "same")).identity() == bert.identity()
    assert SentenceEncoder(path=save_bert(tmp_path / "other", seed=1)).identity() != bert.identity()
    assert dataclasses.replace(bert, max_tokens=9).identity() != bert.identity()
