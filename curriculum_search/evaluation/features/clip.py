"""CLIP, from the transformers library (an optional extra): image features, and the CLIP score."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from curriculum_search.conditions import Captions, Condition
from curriculum_search.data import ImageSet
from curriculum_search.evaluation.features.extractor import Extractor, Features, Sources, as_rgb
from curriculum_search.evaluation.features.matches import Matcher, check_captions
from curriculum_search.text.pretrained import checksum_of, config_of, folder_of, read_network, read_tokeniser

_WHAT = "extractor clip"
_MEAN, _SD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # which CLIP was trained with
_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class CLIP(Extractor):
    """The image and text embeddings of CLIP (Radford et al. 2021, arXiv 2103.00020), whose cosine is the CLIP score.

    Images are enlarged or reduced to CLIP's resolution (bicubic, antialiased).  Needs ``pip install
    'curriculum-search[text]'``.

    Attributes:
        path: a folder of a whole CLIP as transformers saves it, or its name on the hub: openai/clip-vit-base-patch32,
            or -large-patch14, whose scores cannot be compared with each other.
    """

    kind: Literal["clip"] = "clip"
    path: str

    @property
    def label(self) -> str:
        return "clip"

    @property
    def knows_captions(self) -> bool:
        return True

    def dimension(self, reference: ImageSet) -> int:
        return int(config_of(folder_of(self.path, _WHAT)).get("projection_dim", 512))

    def check(self, train: ImageSet, reference: ImageSet) -> None:
        config = config_of(folder_of(self.path, _WHAT))
        if config.get("model_type") != "clip":
            raise ValueError(f"{_WHAT}: {self.path} holds a {config.get('model_type')}, not a whole CLIP")
        check_captions(reference.conditions, reference.name, self.label)

    def load(self, sources: Sources) -> Features:
        self.check(sources.train, sources.reference)
        return _Loaded(self, sources)


class _Loaded(Features):
    def __init__(self, extractor: CLIP, sources: Sources) -> None:
        folder = folder_of(extractor.path, _WHAT)
        self._network = read_network("CLIPModel", folder, _WHAT).to(sources.device)
        self._resolution = int(self._network.config.vision_config.image_size)
        self._mean, self._sd = (torch.tensor(v, device=sources.device).view(1, 3, 1, 1) for v in (_MEAN, _SD))
        self.dimension = int(self._network.config.projection_dim)
        self.checksum = checksum_of(folder)
        self.words = f"CLIP of {extractor.path}, SHA-256 {self.checksum[:12]}"
        captions = check_captions(sources.reference.conditions, sources.reference.name, extractor.label)
        self._matcher = Matcher(captions, self._captions(captions, read_tokeniser(folder, _WHAT), sources.device))
        self.num_captions = self._matcher.num_captions

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        size = (self._resolution, self._resolution)
        pixels = F.interpolate(as_rgb(images).float() / 255, size=size, mode="bicubic", antialias=True).clamp(0, 1)
        return _projected(self._network.get_image_features(pixel_values=(pixels - self._mean) / self._sd))

    def similarities(self, features: Tensor, condition: Condition) -> Tensor:
        return self._matcher.similarities(features, condition)

    @torch.no_grad()
    def _captions(self, captions: Captions, tokeniser: Any, device: torch.device) -> Tensor:
        """Their embeddings, float32 [captions, d] of length 1."""
        longest = int(self._network.config.text_config.max_position_embeddings)
        parts = []
        for start in range(0, len(captions.texts), _AT_ONCE):
            texts = list(captions.texts[start : start + _AT_ONCE])
            tokens = tokeniser(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt").to(device)
            found = self._network.get_text_features(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
            )
            parts.append(_projected(found))
        return torch.cat(parts)


def _projected(output: Any) -> Tensor:
    """What CLIP projected, of length 1; transformers gives it as a tensor or, since 5, with other things around it."""
    values = output if isinstance(output, Tensor) else output.pooler_output
    return F.normalize(values.float(), dim=1)
