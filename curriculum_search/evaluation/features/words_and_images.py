"""A small model of images and words, trained once on the user's own captioned images."""

import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curriculum_search.conditions import Captions, Condition
from curriculum_search.data import DataOrder, ImageSet, to_float
from curriculum_search.evaluation.cache import digest, once_whole
from curriculum_search.evaluation.features.classifier import ClassifierNetwork, check_training, undisturbed
from curriculum_search.evaluation.features.extractor import Extractor, Features, Sources, share_from_first
from curriculum_search.evaluation.features.matches import Matcher, check_captions
from curriculum_search.torch_imports import EagerAdamW, without_values

_BATCH = 128
_LEARNING_RATE = 3e-3
_TEMPERATURE = 0.1
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class WordsAndImages(Extractor):
    """A convolutional network for images and a vector for each word, trained so that images lie near their captions.

    The loss is CLIP's (Radford et al. 2021, arXiv 2103.00020); a caption is the mean of its words.  It is trained on
    the training images and the reference's, both with their captions: it is to know what held-out words look like,
    which the model that it judges does not.  So what the reference's own images get is what it remembers, and an upper
    end of the scale rather than a result.  It shares nothing with the text encoder of the model that is judged.

    As the `classifier` it is trained in float64, in which the rounding of different processors does not grow.

    Attributes:
        version: of how the network is trained: values under another one cannot be compared.
        num_features: width in which images and captions are compared.
        training_images: images shown in training, repetitions counted.
        seed: of weights and order.
    """

    kind: Literal["words_and_images"] = "words_and_images"
    version: Literal[1] = 1
    num_features: int = 64
    training_images: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        check_training(self.label, self.num_features, self.training_images, self.seed)

    @property
    def label(self) -> str:
        return "words_and_images"

    @property
    def knows_captions(self) -> bool:
        return True

    def dimension(self, reference: ImageSet) -> int:
        return self.num_features

    def check(self, train: ImageSet, reference: ImageSet) -> None:
        for images in (train, reference):
            check_captions(images.conditions, images.name, self.label)
            if images.encoded:
                raise ValueError(
                    f"extractor {self.label} learns from images, and {images.name} has latents: use another extractor, "
                    "as clip, with images in data.reference_path"
                )

    def load(self, sources: Sources) -> Features:
        self.check(sources.train, sources.reference)
        sets = [sources.train] if sources.reference is sources.train else [sources.train, sources.reference]
        fingerprints = [images.fingerprint for images in sets]
        name = digest(self.kind, self.version, fingerprints, self.num_features, self.training_images, self.seed)
        read = partial(torch.load, map_location="cpu", weights_only=True)
        path = sources.cache_dir / f"words-and-images-{name}.pt"
        saved = once_whole(path, partial(self._train, sets, sources.device), read)
        words = vocabulary(sets)
        with without_values():
            network = self._network(sources.train, words, torch.float32)
        shared = share_from_first(list(saved.values()), sources.device)
        network.load_state_dict(dict(zip(saved, shared, strict=True)), assign=True)
        return _Loaded(network.eval().requires_grad_(False), words, sources.reference)

    def _network(self, images: ImageSet, words: Sequence[str], dtype: torch.dtype) -> "WordsAndImagesNetwork":
        return WordsAndImagesNetwork(images.channels, images.resolution, self.num_features, len(words), dtype)

    def _train(self, sets: Sequence[ImageSet], device: torch.device, target: Path) -> None:
        words = vocabulary(sets)
        ends = np.cumsum([len(images) for images in sets])
        order = DataOrder(int(ends[-1]), self.seed)
        bags = [bag_of_words(_captions(images).texts, words) for images in sets]
        num_steps = -(-self.training_images // _BATCH)
        with undisturbed(self.seed, device):
            network = self._network(sets[0], words, torch.float64).to(device).train()
            optimizer = EagerAdamW(network.parameters(), lr=_LEARNING_RATE)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=num_steps)
            for step in range(num_steps):
                rows, draws = (take(step * _BATCH, _BATCH) for take in (order.indices, order.draws))
                pixels, texts = [], []
                for k, images in enumerate(sets):
                    own = (rows < ends[k]) & (rows >= ends[k] - len(images))
                    if own.any():
                        indices = rows[own] - (ends[k] - len(images))
                        pixels.append(images.stored(indices))
                        texts.append(bags[k][_captions(images).rows_drawn(indices, draws[own])])
                seen = to_float(torch.cat(pixels)).to(device, torch.float64)
                ours, theirs = network.images(seen), network.captions(torch.cat(texts).to(device))
                logits = ours @ theirs.T / _TEMPERATURE
                right = torch.arange(len(logits), device=device)
                loss = F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
        saved = io.BytesIO()  # PyTorch would not tell a full disk from other errors.
        torch.save({name: value.cpu() for name, value in network.float().state_dict().items()}, saved)
        target.write_bytes(saved.getvalue())


class WordsAndImagesNetwork(nn.Module):
    """Images [B, C, R, R] of `dtype` in [-1, 1], and captions as shares of words, to vectors of length 1."""

    def __init__(self, channels: int, resolution: int, width: int, num_words: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.eye = ClassifierNetwork(channels, resolution, 2 * width, width, dtype)
        self.words = nn.Linear(num_words, width, bias=False, dtype=dtype)

    def images(self, images: Tensor) -> Tensor:
        """[B, width]."""
        return F.normalize(self.eye(images)[1], dim=1)

    def captions(self, shares: Tensor) -> Tensor:
        """[B, width] of shares [B, words]."""
        return F.normalize(self.words(shares.to(self.words.weight.dtype)), dim=1)


class _Loaded(Features):
    def __init__(self, network: WordsAndImagesNetwork, words: Sequence[str], reference: ImageSet) -> None:
        content = hashlib.sha256()
        for name, value in network.state_dict().items():
            content.update(name.encode() + value.cpu().numpy().tobytes())
        self.dimension = network.words.out_features
        self.checksum = content.hexdigest()
        self.words = (
            f"words_and_images trained on all images and captions, {len(words):,} words, SHA-256 {self.checksum[:12]}"
        )
        captions = _captions(reference)
        shares = bag_of_words(captions.texts, words).to(network.words.weight.device)
        self._network = network
        self._matcher = Matcher(captions, network.captions(shares))
        self.num_captions = self._matcher.num_captions

    def __call__(self, images: Tensor) -> Tensor:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # TF32 has three digits
            return self._network.images(to_float(images))

    def similarities(self, features: Tensor, condition: Condition) -> Tensor:
        return self._matcher.similarities(features, condition)


def vocabulary(sets: Sequence[ImageSet]) -> tuple[str, ...]:
    """The words of all captions, sorted."""
    return tuple(sorted({word for images in sets for text in _captions(images).texts for word in _words(text)}))


def bag_of_words(texts: Sequence[str], words: Sequence[str]) -> Tensor:
    """The share of each word in each text, float32 [texts, words]."""
    places = {word: place for place, word in enumerate(words)}
    shares = torch.zeros(len(texts), len(words))
    for row, text in zip(shares, texts, strict=True):
        found = [places[word] for word in _words(text)]
        row.index_add_(0, torch.tensor(found, dtype=torch.int64), torch.full((len(found),), 1 / max(len(found), 1)))
    return shares


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _captions(images: ImageSet) -> Captions:
    assert isinstance(images.conditions, Captions)
    return images.conditions
