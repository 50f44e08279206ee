"""A small classifier, trained once on the user's own labelled images: features where no published network fits."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curriculum_search.data import DataOrder, ImageSet, to_float
from curriculum_search.evaluation.cache import digest, once_whole
from curriculum_search.evaluation.features.extractor import Extractor, Features, Sources, share_from_first
from curriculum_search.torch_imports import EagerAdamW, without_values

_BATCH = 128
_HELD_OUT = 10  # every tenth image tells how good the classifier is
_MAX_LEARNING_RATE = 3e-3


def check_training(label: str, num_features: int, training_images: int, seed: int) -> None:
    """What holds for every extractor that is trained here.

    Raises:
        ValueError: naming the field.
    """
    for name, value in (("num_features", num_features), ("training_images", training_images)):
        if value < 1:
            raise ValueError(f"{name} of extractor {label} must be at least 1, not {value}")
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed of extractor {label} must be in 0..{2**63 - 1}, not {seed}")


@dataclass(frozen=True, kw_only=True)
class Classifier(Extractor):
    """The penultimate layer of a small convolutional network that tells the classes of the training images.

    It is trained once for a data set and then read from the cache, in float64: there the rounding in which processors
    differ does not grow into anything, so that the weights, which are kept in float32, and the values of metrics are
    the same on any processor, with any number of threads.  (In float32 it grows to a tenth of the weights, and changes
    the second digit of a distance.)  The checksum in the protocol tells whether two results share the weights.

    Attributes:
        version: of how the network is trained: values under another one cannot be compared, and are not mixed.
        num_features: width of the penultimate layer.
        training_images: images shown in training, repetitions counted.
        seed: of weights and order.
    """

    kind: Literal["classifier"] = "classifier"
    version: Literal[2] = 2
    num_features: int = 64
    training_images: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        check_training(self.label, self.num_features, self.training_images, self.seed)

    @property
    def label(self) -> str:
        return "classifier"

    @property
    def tells_classes(self) -> bool:
        return True

    def dimension(self, reference: ImageSet) -> int:
        return self.num_features

    def check(self, train: ImageSet, reference: ImageSet) -> None:
        if train.encoded:
            raise ValueError(
                f"extractor classifier learns from images, and {train.name} has latents: use another extractor, "
                "as pixels or inception, with images in data.reference_path"
            )
        num_classes = 0 if train.labels is None else len(np.unique(train.labels))
        if num_classes < 2:
            raise ValueError(
                f"extractor classifier learns from labels, and {train.name} has "
                f"{'none' if num_classes == 0 else 'one class'}: use another extractor, such as pixels"
            )
        if len(train) < _HELD_OUT:
            raise ValueError(
                f"extractor classifier holds out every {_HELD_OUT}th labelled image, and {train.name} has only "
                f"{len(train)}: use another extractor, such as pixels"
            )

    def load(self, sources: Sources) -> Features:
        self.check(sources.train, sources.reference)
        train = sources.train
        name = digest("classifier", self.version, train.fingerprint, self.num_features, self.training_images, self.seed)
        path = sources.cache_dir / f"classifier-{name}.pt"
        read = partial(torch.load, map_location="cpu", weights_only=True)
        saved = once_whole(path, partial(self._train, train, sources.device), read)
        names, tensors = zip(*saved["network"].items(), strict=True)
        with without_values():
            network = self._network(train, torch.float32)
        shared = share_from_first(list(tensors), sources.device)
        network.load_state_dict(dict(zip(names, shared, strict=True)), assign=True)
        network.eval().requires_grad_(False)
        return _ClassifierFeatures(network, saved["accuracy"], train.name)

    def _network(self, train: ImageSet, dtype: torch.dtype) -> "ClassifierNetwork":
        return ClassifierNetwork(train.channels, train.resolution, self.num_features, train.num_classes, dtype)

    def _train(self, train: ImageSet, device: torch.device, target: Path) -> None:
        held_out = np.arange(len(train)) % _HELD_OUT == _HELD_OUT - 1
        shown = np.flatnonzero(~held_out)
        num_steps = -(-self.training_images // _BATCH)
        with undisturbed(self.seed, device):
            network = self._network(train, torch.float64).to(device).train()
            optimizer = EagerAdamW(network.parameters(), lr=_MAX_LEARNING_RATE)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _MAX_LEARNING_RATE, total_steps=num_steps)
            order = DataOrder(len(shown), self.seed)
            for step in range(num_steps):
                images, labels = _labelled(train, shown[order.indices(step * _BATCH, _BATCH)], device)
                loss = F.cross_entropy(network(images)[1], labels, label_smoothing=0.1)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
            network.eval()
            right, indices = 0, np.flatnonzero(held_out)
            with torch.no_grad():
                for part in np.array_split(indices, -(-len(indices) // 1024)):
                    images, labels = _labelled(train, part, device)
                    right += int((network(images)[1].argmax(1) == labels).sum())
        weights = {name: value.cpu() for name, value in network.float().state_dict().items()}
        saved = io.BytesIO()  # PyTorch would not tell a full disk from other errors.
        torch.save({"network": weights, "accuracy": right / max(len(indices), 1)}, saved)
        target.write_bytes(saved.getvalue())


class ClassifierNetwork(nn.Module):
    """Images [B, C, R, R] of `dtype` in [-1, 1] to (features [B, num_features], logits [B, num_classes])."""

    def __init__(self, channels: int, resolution: int, num_features: int, num_classes: int, dtype: torch.dtype) -> None:
        super().__init__()
        layers = [_layer(channels, 32, stride=1, dtype=dtype)]
        width = 32
        while resolution > 4:
            layers += [_layer(width, 64, stride=2, dtype=dtype)]
            width, resolution = 64, (resolution + 1) // 2
        self.layers = nn.Sequential(*layers, _layer(width, num_features, stride=1, dtype=dtype))
        self.head = nn.Linear(num_features, num_classes, dtype=dtype)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.layers(images).mean((2, 3))
        return features, self.head(features)


class _ClassifierFeatures(Features):
    def __init__(self, network: ClassifierNetwork, accuracy: float, data: str) -> None:
        content = hashlib.sha256()
        for name, value in network.state_dict().items():
            content.update(name.encode() + value.cpu().numpy().tobytes())
        self.dimension = network.head.in_features
        self.num_classes = network.head.out_features
        self.checksum = content.hexdigest()
        self.words = (
            f"classifier trained on {data} ({self.dimension} features, {accuracy:.1%} right on held-out images), "
            f"SHA-256 {self.checksum[:12]}"
        )
        self._network = network

    def __call__(self, images: Tensor) -> Tensor:
        return self._outputs(images)[0]

    def with_probabilities(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = self._outputs(images)
        return features, logits.softmax(1)

    def _outputs(self, images: Tensor) -> tuple[Tensor, Tensor]:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # TF32 has three digits
            return self._network(to_float(images))  # type: ignore[no-any-return]


def _layer(inputs: int, outputs: int, *, stride: int, dtype: torch.dtype) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False, dtype=dtype),
        nn.BatchNorm2d(outputs, dtype=dtype),
        nn.ReLU(),
    )


def _labelled(images: ImageSet, indices: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    assert images.labels is not None
    return to_float(images.stored(indices)).to(device, torch.float64), torch.from_numpy(images.labels[indices]).to(
        device
    )


@contextmanager
def undisturbed(seed: int, device: torch.device) -> Iterator[None]:
    """A random state of its own, and gradients, which whoever evaluates may have turned off."""
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        torch.manual_seed(seed)
        yield
