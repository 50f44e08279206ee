"""The figures of what was unlocked."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.text import Text

from curriculum_search.report import StageHistory, unlocked, unlocked_levels

EASY = StageHistory(
    total_images=1000, edges=[0.0, 0.2, 0.6, 1.0], permutation=[2, 1, 0], switches=[(0, 1), (300, 2), (500, 3)]
)
STOPPED = StageHistory(total_images=1000, edges=[0.0, 0.5, 1.0], permutation=[0, 1], switches=[(0, 1)], stopped_at=400)
NONE = StageHistory(total_images=1000, edges=[0.0, 1.0], permutation=[0], switches=[(0, 1)])


def test_the_share_of_unlocked_clusters_steps_up_at_every_switch() -> None:
    figure = unlocked({"none": [NONE], "easy": [EASY, STOPPED]}, baseline="none")
    (axes,) = figure.axes
    none, easy, stopped, cross = (np.asarray(line.get_xydata()).tolist() for line in axes.lines)
    assert none == [[0, 100], [1000, 100]]
    assert easy == [[0, pytest.approx(100 / 3)], [300, pytest.approx(200 / 3)], [500, 100], [1000, 100]]
    assert stopped == [[0, 50], [400, 50]]
    assert cross == [[400, 50]]
    assert {line.get_drawstyle() for line in axes.lines[:3]} == {"steps-post"}
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["none", "easy (2)"]


@pytest.mark.parametrize("num_arms", [2, 3, 5])
def test_arms_that_lie_on_each_other_can_all_be_seen(num_arms: int) -> None:
    figure = unlocked({f"arm {i}": [EASY] for i in range(num_arms)})
    (axes,) = figure.axes
    wanted = [to_rgba(line.get_color()) for line in axes.lines]
    legend = axes.get_legend()
    assert legend is not None
    legend.remove()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba()).reshape(-1, 4) / 255  # type: ignore[no-untyped-call]
    seen = [int((np.abs(pixels - colour).max(axis=1) < 0.02).sum()) for colour in wanted]
    assert min(seen) > 0.5 * max(seen) > 0


def test_every_cluster_is_a_band_from_its_unlocking_to_the_end() -> None:
    figure = unlocked_levels({"easy": EASY, "stopped": STOPPED})
    easy, stopped = figure.axes
    bands = [collection.get_paths()[0].get_extents() for collection in easy.collections]
    assert [(band.x0, band.x1, band.y0, band.y1) for band in bands] == [
        (0, 1000, 0.6, 1.0),
        (300, 1000, 0.2, 0.6),
        (500, 1000, 0.0, 0.2),
    ]
    (band,) = (collection.get_paths()[0].get_extents() for collection in stopped.collections)
    assert (band.x0, band.x1, band.y0, band.y1) == (0, 400, 0.0, 0.5)


@pytest.mark.parametrize("num_arms", [0, 1, 3, 4, 7])
def test_there_is_a_panel_for_every_arm(num_arms: int, tmp_path: Path) -> None:
    figure = unlocked_levels({f"arm {i}": EASY for i in range(num_arms)}, title="study")
    assert [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()] == [
        f"arm {i}" for i in range(num_arms)
    ]
    figure.savefig(tmp_path / "figure.png")


def test_long_names_of_panels_do_not_hide_each_other() -> None:
    names = [f"random order {i} (2 % of the run): random, 20 clusters, plateau" for i in range(3)]
    figure = unlocked_levels(dict.fromkeys(names, EASY))
    figure.draw_without_rendering()
    texts = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_text().startswith("random order"))
    boxes = [text.get_window_extent() for text in texts]
    assert len(boxes) == 3
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert max(box.x1 for box in boxes) <= figure.bbox.x1


def test_runs_that_never_began_are_left_out() -> None:
    failed = StageHistory(total_images=1000, edges=[0.0, 1.0], permutation=[0], switches=[])
    assert len(unlocked({"a": [failed], "b": [EASY, failed]}).axes[0].lines) == 1
    assert not unlocked_levels({"a": failed}).axes[0].collections
