"""Captioned images, and small text encoders with random weights in folders as transformers saves them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from curriculum_search.conditions import Captions
from curriculum_search.data import Digits, MemoryImages
from curriculum_search.text import Encoded, TextEncoder
from curriculum_search.text.encoders import _Loaded

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WORDS = ("a", "the", "digit", "written", "by", "hand", *NAMES)


def write_captioned_digits(folder: Path, count: int, *, start: int = 0) -> Path:
    """Digits as PNG, two captions each, in a folder of Hugging Face's form."""
    folder.mkdir(parents=True)
    images = Digits().load()
    assert isinstance(images, MemoryImages)
    assert images.labels is not None
    rows = []
    for i in range(start, start + count):
        Image.fromarray(images.images[i, 0]).save(folder / f"{i:04d}.png")
        name = NAMES[images.labels[i]]
        rows.append({"file_name": f"{i:04d}.png", "text": [f"the digit {name}", f"a {name} written by hand"]})
    (folder / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


def captions_of_digits(encoder: TextEncoder, folder: Path, count: int = 40) -> Captions:
    """Two captions for each of the first digits."""
    labels = Digits().load().labels
    assert labels is not None
    names = [NAMES[label] for label in labels[:count]]
    return Captions([(f"the digit {name}", f"a {name} written by hand") for name in names], encoder, folder)


def counted_encodings(patch: pytest.MonkeyPatch) -> list[int]:
    """How many captions are encoded together, each time that some are, from now on."""
    counts: list[int] = []
    encode = _Loaded.encode

    def counting(self: _Loaded, captions: Sequence[str]) -> Encoded:
        counts.append(len(captions))
        return encode(self, captions)

    patch.setattr(_Loaded, "encode", counting)
    return counts


def _vocabulary(folder: Path) -> None:
    from transformers import BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    tokens = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)


def save_bert(folder: Path, *, seed: int = 0, **config: Any) -> str:
    """A BERT of width 8."""
    from transformers import BertConfig, BertModel

    _vocabulary(folder)
    torch.manual_seed(seed)
    settings = {
        "vocab_size": 5 + len(WORDS),
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "max_position_embeddings": 64,
    }
    BertModel(BertConfig(**{**settings, **config}), add_pooling_layer=False).save_pretrained(folder)
    return str(folder)


def save_t5(folder: Path) -> str:
    """A T5 encoder of width 8."""
    from transformers import T5Config, T5EncoderModel

    _vocabulary(folder)
    torch.manual_seed(0)
    T5EncoderModel(
        T5Config(vocab_size=5 + len(WORDS), d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    ).save_pretrained(folder)
    return str(folder)


def save_clip(folder: Path, *, text_only: bool = False, positions: int = 16) -> str:
    """A CLIP whose text is 8 and whose images are 12 wide, and which compares them in 6."""
    from transformers import CLIPConfig, CLIPModel, CLIPTextModel

    _vocabulary(folder)
    torch.manual_seed(0)
    text = {
        "vocab_size": 5 + len(WORDS),
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": positions,
        "eos_token_id": 3,
        "bos_token_id": 2,
        "pad_token_id": 0,
    }
    vision = {
        "hidden_size": 12,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 8,
    }
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=6)
    (CLIPTextModel(config.text_config) if text_only else CLIPModel(config)).save_pretrained(folder)
    return str(folder)
