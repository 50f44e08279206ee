"""How a network is trained, and on what."""

import math
from dataclasses import dataclass
from typing import Literal

from curriculum_search.config import Config


@dataclass(frozen=True, kw_only=True)
class Training(Config):
    """The optimisation, counted in images seen.

    Attributes:
        total_images: images that a run sees, a multiple of `batch_size`; every arm of a study sees the same number.
        batch_size: images of one optimiser step, over all workers.
        microbatch_size: images that go through the network at once on one worker (gradients are accumulated); None:
            all.
        learning_rate, betas, weight_decay: of AdamW.
        warmup_images: the learning rate rises linearly over these first images.
        decay: after the warm-up the learning rate stays ("constant") or falls to zero on a half cosine ("cosine").
        max_grad_norm: gradients are clipped to this global norm; None: not at all.
        ema_halflife_images: half-life of the exponential moving average of the weights, which is what is evaluated.
        ema_rampup_share: at the start the half-life is at most this share of the images seen (EDM: 0.05).
        label_dropout: probability that an image's label, or what else it is conditioned on, is hidden, for
            classifier-free guidance.
        horizontal_flip: mirror each image with probability one half.
        precision: arithmetic of the network's forward and backward pass; weights and optimiser stay in float32.
        compile: compile the network with torch.compile.
        num_evaluations: evaluations, each with a checkpoint, equally spaced; the last is at the end.
        noise_shards: parts in which the noise of a batch is drawn.  Every number of workers that divides it trains
            on the same noise.
    """

    total_images: int = 64_000
    batch_size: int = 64
    microbatch_size: int | None = None
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    warmup_images: int = 0
    decay: Literal["constant", "cosine"] = "constant"
    max_grad_norm: float | None = 1.0
    ema_halflife_images: int = 500_000
    ema_rampup_share: float = 0.05
    label_dropout: float = 0.1
    horizontal_flip: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    num_evaluations: int = 8
    noise_shards: int = 8

    def __post_init__(self) -> None:
        for name in ("total_images", "batch_size", "ema_halflife_images", "num_evaluations", "noise_shards"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.total_images % self.batch_size:
            raise ValueError(
                f"total_images must be a multiple of batch_size ({self.batch_size}), not {self.total_images}; "
                f"{self.total_images // self.batch_size * self.batch_size} would do"
            )
        if self.batch_size % self.noise_shards:
            raise ValueError(f"noise_shards must divide batch_size ({self.batch_size}); {self.noise_shards} does not")
        if self.num_evaluations > self.num_steps:
            raise ValueError(f"num_evaluations must be at most the {self.num_steps} steps, not {self.num_evaluations}")
        if self.microbatch_size is not None and self.microbatch_size < 1:
            raise ValueError(f"microbatch_size must be at least 1, not {self.microbatch_size}")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be in [0, 1), not {list(self.betas)}")
        if self.max_grad_norm is not None and self.max_grad_norm <= 0:
            raise ValueError(f"max_grad_norm must be above 0 or null, not {self.max_grad_norm}")
        for name in ("label_dropout", "weight_decay", "ema_rampup_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], not {getattr(self, name)}")
        if self.warmup_images < 0:
            raise ValueError(f"warmup_images must be at least 0, not {self.warmup_images}")

    @property
    def num_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.total_images // self.batch_size

    def learning_rate_at(self, images_seen: int) -> float:
        """The learning rate of the step that starts at `images_seen`."""
        if images_seen < self.warmup_images:
            return self.learning_rate * (images_seen + self.batch_size) / (self.warmup_images + self.batch_size)
        if self.decay == "constant":
            return self.learning_rate
        progress = (images_seen - self.warmup_images) / max(self.total_images - self.warmup_images, 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))

    def evaluation_points(self) -> tuple[int, ...]:
        """Images seen at each evaluation, increasing, all multiples of `batch_size`, the last one `total_images`."""
        steps = (round(self.num_steps * i / self.num_evaluations) for i in range(1, self.num_evaluations + 1))
        return tuple(step * self.batch_size for step in steps)
