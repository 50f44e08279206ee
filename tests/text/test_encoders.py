"""The text encoders of transformers: what they give is what its networks give, and what is wrong is said at once."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.captioned import save_bert, save_clip, save_t5

from curriculum_search.text import CLIPText, SentenceEncoder, T5Text, TextEncoder

CPU = torch.device("cpu")


def test_the_sentence_encoder_of_the_package_knows_which_captions_mean_the_same() -> None:
    encoder = SentenceEncoder()
    assert encoder.width == 384
    found = encoder.load(CPU).encode(["a red apple", "a crimson fruit", "the flag of Norway"])
    alike = found.pooled @ found.pooled.T
    torch.testing.assert_close(alike.diagonal(), torch.ones(3))
    assert float(alike[0, 1]) > float(alike[0, 2]) + 0.3


def test_clip_gives_the_last_layer_and_the_token_that_ends_the_caption(tmp_path: Path) -> None:
    from transformers import CLIPTextModel

    path = save_clip(tmp_path / "clip")
    found = CLIPText(path=path, max_tokens=16).load(CPU).encode(["the digit one"])
    network = CLIPTextModel.from_pretrained(path).eval()
    with torch.no_grad():
        expected = network(input_ids=torch.tensor([[2, 6, 7, 12, 3]]))
    torch.testing.assert_close(found.tokens, expected.last_hidden_state)
    torch.testing.assert_close(found.pooled, expected.last_hidden_state[:, -1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda folder: CLIPText(path=save_bert(folder / "x")),
            r"text encoder clip: .* holds a bert, and this kind takes a clip: .*, or text_encoder\.kind: sentence",
        ),
        (
            lambda folder: SentenceEncoder(path=save_t5(folder / "x")),
            r"text encoder sentence: .* holds a t5, and this kind takes a bert: .*, or text_encoder\.kind: t5, which",
        ),
        (
            lambda folder: T5Text(path=save_bert(folder / "x")),
            r"text encoder t5: .* holds a bert, and this kind takes a t5: .*, or text_encoder\.kind: sentence, which",
        ),
        (
            lambda folder: CLIPText(path=save_clip(folder / "x")),
            "text encoder clip must be at most 16, not 77",
        ),
    ],
)
def test_a_folder_of_another_network_is_refused(
    make: Callable[[Path], TextEncoder], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        make(tmp_path).check()


def test_too_few_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="max_tokens must be at least 3, not 2"):
        dataclasses.replace(SentenceEncoder(), max_tokens=2)
