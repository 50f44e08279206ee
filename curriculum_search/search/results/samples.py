"""The samples that report.html shows side by side."""

import io
import math
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from curriculum_search.report.page import Samples
from curriculum_search.search.phases.confirmation import ConfirmationPhase
from curriculum_search.search.results.figures import arm_title

_MOST_SAMPLES = 4
_MOST_EARLIER = 9  # evaluations before the end of which samples are shown
_LARGE_BYTES, _LARGE_SIDE, _EARLIER_SIDE = 300_000, 1024, 512  # of a grid that is made smaller


def samples_of(confirmation: ConfirmationPhase, winner: str | None) -> list[Samples]:
    """The grids of the reference and of the winner, else of the first leader, on the seeds that both have.

    Of the first of them there are those of earlier evaluations too, where they were kept.
    """
    plan = confirmation.plan
    shown = winner if winner is not None and winner != plan.reference else next(iter(plan.leaders), None)
    if shown is None or shown not in confirmation.arms:
        return []
    found: list[Samples] = []
    count = confirmation.file.base.evaluation.grid_images
    for seed in plan.seeds(shown):
        folders = {
            arm_title(confirmation, name): confirmation.store.folder(confirmation.run(name, seed).key)
            for name in (plan.reference, shown)
        }
        if len(found) < _MOST_SAMPLES and all(folder.grid.exists() for folder in folders.values()):
            earlier = {} if found else _earlier({name: folder.earlier_grids() for name, folder in folders.items()})
            samples = Samples(
                seed=seed,
                grids={name: small_grid(folder.grid, count, _LARGE_SIDE) for name, folder in folders.items()},
                earlier={
                    images: {name: small_grid(file, count, _EARLIER_SIDE) for name, file in files.items()}
                    for images, files in earlier.items()
                },
                total_images=confirmation.curve(shown, seed).images_seen,
            )
            found.append(samples)
    return found


def _earlier(grids: Mapping[str, Mapping[int, Path]]) -> dict[int, dict[str, Path]]:
    """Images seen to each arm's file, where all arms have one: some of them, evenly spread, where there are many."""
    common = sorted(set.intersection(*map(set, grids.values())))
    if len(common) > _MOST_EARLIER:
        common = [common[i * (len(common) - 1) // (_MOST_EARLIER - 1)] for i in range(_MOST_EARLIER)]
    return {images: {name: files[images] for name, files in grids.items()} for images in common}


def small_grid(path: Path, count: int, side: int) -> bytes:
    """A grid of images with gaps between them: a PNG, or where that is large a WebP of at most `side` pixels."""
    columns = math.ceil(math.sqrt(count))
    with Image.open(path) as grid:
        apart = _apart(grid.convert("RGBA"), columns, math.ceil(count / columns))
    output = io.BytesIO()
    if path.stat().st_size > _LARGE_BYTES:
        apart.thumbnail((side, side))
        apart.save(output, "WEBP", quality=85)
    else:
        apart.save(output, "PNG", optimize=True)
    return output.getvalue()


def _apart(grid: Image.Image, columns: int, rows: int) -> Image.Image:
    width, height = grid.width // columns, grid.height // rows
    gap = max(width // 16, 2)
    canvas = Image.new("RGBA", (columns * (width + gap) - gap, rows * (height + gap) - gap))
    for row in range(rows):
        for column in range(columns):
            tile = grid.crop((column * width, row * height, (column + 1) * width, (row + 1) * height))
            canvas.paste(tile, (column * (width + gap), row * (height + gap)))
    return canvas
