"""An evaluation as a person reads it: a table over seed blocks, the protocol in words, and a grid of samples."""

import math
import statistics
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

_TITLED_SIDE, _FONT_SIZE = 112, 12  # pixels of an image with a title below, and of the title's letters


@dataclass(frozen=True, kw_only=True)
class Row:
    """One metric over seed blocks.

    Attributes:
        name: the metric.
        values: one for each block, in order; the first is what training reports.
    """

    name: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over blocks."""
        return statistics.fmean(self.values)

    @property
    def sd(self) -> float | None:
        """Sample standard deviation over blocks, None for a single block."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True, kw_only=True)
class Table:
    """What jobs/evaluate.py prints and logs.

    Attributes:
        rows: in the order of the evaluators.
        protocol: how the numbers come about, in words.
        grid: uint8 [C, H, W]: samples side by side.
    """

    rows: tuple[Row, ...]
    protocol: str
    grid: Tensor

    def metrics(self) -> dict[str, float]:
        """name to mean, and name_sd to standard deviation where there is one: for a tracker."""
        means = {row.name: row.mean for row in self.rows}
        return means | {f"{row.name}_sd": row.sd for row in self.rows if row.sd is not None}

    def text(self) -> str:
        """The table and the protocol in plain text; the last column has each block's value."""
        header = ("metric", "mean", "sd", "by seed block")
        cells = []
        for row in self.rows:
            sd = "" if row.sd is None else f"{row.sd:.2g}"
            cells.append((row.name, f"{row.mean:.5g}", sd, " ".join(f"{value:.5g}" for value in row.values)))
        widths = [max(len(line[i]) for line in [header, *cells]) for i in range(3)]
        lines = [
            f"{name:<{widths[0]}}  {mean:>{widths[1]}}  {sd:>{widths[2]}}  {values}"
            for name, mean, sd, values in [header, *cells]
        ]
        return "\n".join([*lines, "", self.protocol])


def image_grid(images: Tensor, titles: Sequence[str] = ()) -> Tensor:
    """Images uint8 [N, C, H, W] side by side in rows, as square as possible: uint8 [C, H', W'].

    With `titles`, one for each image, images are enlarged so that these have room below them.
    """
    if titles:
        images = torch.stack([_titled(image, title) for image, title in zip(images, titles, strict=True)])
    count, channels, height, width = images.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    canvas = torch.zeros(rows * columns, channels, height, width, dtype=torch.uint8)
    canvas[:count] = images
    tiles = canvas.view(rows, columns, channels, height, width).permute(2, 0, 3, 1, 4)
    return tiles.reshape(channels, rows * height, columns * width)


def _titled(image: Tensor, title: str) -> Tensor:
    """An image uint8 [C, H, W], its pixels repeated, with a title of up to three lines below it."""
    factor = max(_TITLED_SIDE // image.shape[2], 1)
    large = image.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    font = ImageFont.load_default(_FONT_SIZE)
    lines = textwrap.wrap(title, int(large.shape[2] / font.getlength("n")))
    text = "\n".join(lines[:3]) + (" ..." if len(lines) > 3 else "")
    strip = Image.new("L" if len(image) == 1 else "RGB", (large.shape[2], 4 * _FONT_SIZE), "white")
    ImageDraw.Draw(strip).multiline_text((2, 1), text, fill="black", font=font, spacing=1)
    below = torch.from_numpy(np.array(strip))
    return torch.cat([large, below[None] if below.ndim == 2 else below.permute(2, 0, 1)], dim=1)


def save_grid(grid: Tensor, path: Path, *, min_side: int = 512) -> None:
    """Write a grid uint8 [C, H, W] (C 1 or 3) as PNG, its pixels repeated so that the image has at least `min_side`."""
    factor = max(math.ceil(min_side / max(grid.shape[1:])), 1)
    pixels = grid.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    array = pixels[0].numpy() if len(pixels) == 1 else pixels.permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(array).save(path, format="PNG")
