"""Captions are encoded once, and found again only by the encoder that encoded them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from support.captioned import save_bert

from curriculum_search.text import Encoded, EncodedCaptions, SentenceEncoder, encoded_once
from curriculum_search.text.encoders import _Loaded

CPU = torch.device("cpu")
CAPTIONS = ("the digit one", "a two written by hand", "three")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> SentenceEncoder:
    return SentenceEncoder(path=save_bert(tmp_path_factory.mktemp("store") / "bert"))


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many captions were encoded together, each time that some were."""
    counts: list[int] = []
    encode = _Loaded.encode

    def counting(self: _Loaded, captions: Sequence[str]) -> Encoded:
        counts.append(len(captions))
        return encode(self, captions)

    monkeypatch.setattr(_Loaded, "encode", counting)
    return counts


def read(captions: tuple[str, ...], encoder: SentenceEncoder, folder: Path) -> EncodedCaptions:
    return encoded_once(captions, encoder, folder, CPU)


def test_rows_are_the_captions_encodings_and_the_last_one_is_the_empty_caption(
    encoder: SentenceEncoder, tmp_path: Path
) -> None:
    stored = read(CAPTIONS, encoder, tmp_path)
    assert len(stored) == 3
    tokens, mask, pooled = stored.read(np.array([2, 0, -1, 1]))
    expected = encoder.load(CPU).encode(["three", "the digit one", "", "a two written by hand"])
    assert mask.tolist() == expected.mask.tolist()
    np.testing.assert_allclose(tokens[mask], expected.tokens[expected.mask].numpy(), atol=2e-3)
    assert not tokens[~mask].any()
    np.testing.assert_allclose(pooled, expected.pooled.numpy(), atol=1e-6)


def test_they_are_encoded_once_and_anew_by_another_encoder_for_other_captions_and_where_the_file_is_damaged(
    encoder: SentenceEncoder, tmp_path: Path, encoded: list[int]
) -> None:
    read(CAPTIONS, encoder, tmp_path)
    read(CAPTIONS, encoder, tmp_path)
    assert encoded == [4]
    (path,) = tmp_path.glob("*.safetensors")
    read(CAPTIONS[:2], encoder, tmp_path)
    other = SentenceEncoder(path=save_bert(tmp_path / "bert", seed=1))
    first, second = (read(CAPTIONS, each, tmp_path).read(np.array([0]))[2] for each in (encoder, other))
    assert encoded == [4, 3, 4]
    assert not np.allclose(first, second)
    path.write_bytes(path.read_bytes()[:200])
    assert np.array_equal(read(CAPTIONS, encoder, tmp_path).read(np.array([0]))[2], first)
    assert encoded == [4, 3, 4, 4]


def test_the_cache_is_where_the_environment_says(
    encoder: SentenceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURRICULUM_SEARCH_CACHE", str(tmp_path))
    done: list[int] = []
    encoded_once(CAPTIONS, encoder, None, CPU, done.append)
    assert len(list((tmp_path / "captions").iterdir())) == 1
    assert done == [4]
