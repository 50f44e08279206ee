"""Captions are encoded once, and found again only by the encoder that encoded them."""

import gc
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from support.captioned import NAMES, counted_encodings, save_bert

from curriculum_search.text import CaptionFile, Encoded, EncodedCaptions, SentenceEncoder
from curriculum_search.text.encoders import _Loaded

CPU = torch.device("cpu")
CAPTIONS = ("the digit one", "a two written by hand", "three")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> SentenceEncoder:
    return SentenceEncoder(path=save_bert(tmp_path_factory.mktemp("store") / "bert"))


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return counted_encodings(monkeypatch)


def read(captions: tuple[str, ...], encoder: SentenceEncoder, folder: Path) -> EncodedCaptions:
    return CaptionFile(captions, encoder, folder).read(CPU)


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


def test_the_text_encoder_is_not_kept_in_memory_beside_the_training(encoder: SentenceEncoder, tmp_path: Path) -> None:
    read(CAPTIONS, encoder, tmp_path)
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, _Loaded)]


def test_the_cache_is_where_the_environment_says(
    encoder: SentenceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURRICULUM_SEARCH_CACHE", str(tmp_path))
    CaptionFile(CAPTIONS, encoder, None).read(CPU)
    assert [path.suffix for path in (tmp_path / "captions").iterdir()] == [".safetensors"]


def test_another_process_sees_how_many_are_encoded_by_now(
    encoder: SentenceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captions = [f"the digit {NAMES[i % 10]}" for i in range(300)]
    watching, seen = CaptionFile(captions, encoder, tmp_path), list[int | None]()
    encode = _Loaded.encode

    def looking(self: _Loaded, together: Sequence[str]) -> Encoded:
        seen.append(watching.done())
        return encode(self, together)

    monkeypatch.setattr(_Loaded, "encode", looking)
    CaptionFile(captions, encoder, tmp_path).read(CPU)
    assert seen == [None, 128, 256]
    assert watching.done() is None


READER = """
import sys
import numpy as np
import torch
sys.path.insert(0, "tests")
from support.captioned import NAMES, counted_encodings
from curriculum_search.text import CaptionFile, SentenceEncoder
import pytest
with pytest.MonkeyPatch.context() as patch:
    counts = counted_encodings(patch)
    captions = [f"the digit {NAMES[i % 10]}" for i in range(2000)]
    file = CaptionFile(captions, SentenceEncoder(path=sys.argv[1]), sys.argv[2])
    print("ready", flush=True)
    sys.stdin.readline()
    print(file.read(torch.device("cpu")).read(np.arange(2000))[2].sum(), sum(counts))
"""


def test_of_processes_that_begin_together_one_encodes_and_the_others_wait_for_it(
    encoder: SentenceEncoder, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", READER, str(encoder.path), str(tmp_path / "encoded")]
    readers = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        )
        for _ in range(2)
    ]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
    for reader in readers:
        assert reader.stdin is not None
        reader.stdin.write("go\n")
        reader.stdin.flush()
    answers = [reader.communicate(timeout=120)[0].split() for reader in readers]
    assert sorted(int(counts) for *_, counts in answers) == [0, 2001]
    assert answers[0][0] == answers[1][0]
    assert [path.suffix for path in (tmp_path / "encoded").iterdir()] == [".safetensors"]
