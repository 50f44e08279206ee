"""An evaluation as a person reads it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from curriculum_search.diffusion import Network
from curriculum_search.evaluation import Classifier, save_grid
from curriculum_search.evaluation.evaluation import EvaluationRun
from curriculum_search.evaluation.report import Row, Table, image_grid


def test_the_text_has_every_metric_and_the_protocol_in_words(
    table: Table, run: EvaluationRun, classifier: Classifier
) -> None:
    text = table.text()
    for row in table.rows:
        assert f"{row.mean:.5g}" in text
    assert text.endswith(table.protocol)
    for words in (
        "averaged (EMA) weights",
        "ddim(num_steps=3, eta=0.0, clip_x0=True)",
        "no guidance",
        "100 samples, classifier trained on digits 8x8",
        run._references.features[classifier].checksum[:12],
        "1,797 of 1,797 images of digits 8x8",
        run.reference.fingerprint[:12],
    ):
        assert words in table.protocol


def test_the_grid_is_the_first_samples_side_by_side(
    table: Table, run: EvaluationRun, network: Network, tmp_path: Path
) -> None:
    assert table.grid.shape == (1, 3 * 8, 4 * 8)
    images = torch.cat([b.images for b in run.generation.blocks(network, 0, 10)])
    difference = table.grid[:, 8:16, 8:16].int() - images[5].int()  # second row, second column
    assert difference.abs().max() <= 1
    assert not table.grid[:, 16:, 16:].any()  # ten images leave two places empty
    for grid in (table.grid, table.grid.expand(3, -1, -1)):
        save_grid(grid, tmp_path / "grid.png")
        with Image.open(tmp_path / "grid.png") as image:
            shown = np.asarray(image)
        assert max(shown.shape[:2]) >= 512
        factor = shown.shape[1] // 32
        np.testing.assert_array_equal(shown.reshape(24 * factor, 32 * factor, -1)[::factor, ::factor, 0], table.grid[0])


def test_a_table_has_mean_deviation_and_each_blocks_value_in_columns() -> None:
    rows = (Row(name="fd", values=(1.0, 2.0, 6.0)), Row(name="val_loss", values=(0.5,)))
    assert [row.mean for row in rows] == [3.0, 0.5]
    assert rows[0].sd == pytest.approx(7**0.5)
    assert rows[1].sd is None
    table = Table(rows=rows, protocol="how", grid=torch.zeros(1, 1, 1, dtype=torch.uint8))
    assert table.metrics() == {"fd": 3.0, "val_loss": 0.5, "fd_sd": pytest.approx(7**0.5)}
    assert table.text().splitlines() == [
        "metric    mean   sd  by seed block",
        "fd           3  2.6  1 2 6",
        "val_loss   0.5       0.5",
        "",
        "how",
    ]


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (2, 1, 2), (5, 2, 3), (9, 3, 3), (10, 3, 4)])
def test_images_lie_in_rows_as_square_as_possible(count: int, rows: int, columns: int) -> None:
    images = torch.arange(1, 1 + count, dtype=torch.uint8).view(count, 1, 1, 1).expand(-1, 3, 2, 2)
    grid = image_grid(images)
    assert grid.shape == (3, 2 * rows, 2 * columns)
    corners = grid[0, ::2, ::2].flatten().tolist()
    assert corners == [*range(1, 1 + count), *[0] * (rows * columns - count)]


def test_a_grid_that_is_large_enough_is_written_as_it_is(tmp_path: Path) -> None:
    grid = torch.arange(3 * 4 * 6, dtype=torch.uint8).view(3, 4, 6)
    save_grid(grid, tmp_path / "grid.png", min_side=5)
    with Image.open(tmp_path / "grid.png") as image:
        np.testing.assert_array_equal(np.asarray(image), grid.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("channels", [1, 3])
def test_titles_stand_below_images_that_are_large_enough_for_them(channels: int) -> None:
    images = torch.randint(0, 256, (2, channels, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    grid = image_grid(images, ("a red apple", "a caption that is much too long to be shown in three lines " * 3))
    height, width = grid.shape[1], grid.shape[2] // 2
    factor = width // 8
    assert torch.equal(grid[:, : 8 * factor : factor, ::factor], torch.cat(list(images), dim=2))
    assert height > 8 * factor
    below = grid[:, 8 * factor :]
    assert all(bool((part < 128).any()) and bool((part == 255).any()) for part in torch.split(below, width, dim=2))
