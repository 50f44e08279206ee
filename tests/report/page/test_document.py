"""The page in a real browser: it opens from a file without a network, draws everything and complains of nothing."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from support.browser import Opened, browser, open_page
from support.study_data import study_data

from curriculum_search.report.page import page
from curriculum_search.report.style import COLOURS

#: Plotly's own code is most of a page.
PLOTLY_BYTES = 5_000_000


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as launched:
        yield launched


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(page(study_data()))
    return file


def plots(text: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(text.split("id='plots'>")[1].split("</script>")[0])
    return found


@pytest.fixture(scope="module")
def opened(chromium: Browser, path: Path) -> Opened:
    """The page as a reader has it open."""
    return open_page(chromium, path)


def test_every_plot_is_drawn_and_nothing_is_asked_of_a_network(opened: Opened, path: Path) -> None:
    names = [plot["name"] for plot in plots(path.read_text())]
    assert len(names) == 14
    drawn = opened.page.evaluate("[...document.querySelectorAll('.js-plotly-plot')].map(e => e.parentElement.id)")
    assert drawn == [f"plot-{name}" for name in names]
    assert opened.errors == []
    assert {url for url in opened.requests if not url.startswith("data:")} == {path.as_uri()}
    headings = opened.page.locator("section > h2").all_inner_texts()
    assert [words.lower() for words in headings[:3]] == ["verdict", "effect of each arm", "convergence"]
    assert len(headings) == 9


def test_the_reader_chooses_between_metrics(opened: Opened) -> None:
    button = opened.page.locator("#plot-effects .views button", has_text="fd_other")
    button.click()
    opened.page.wait_for_function("document.querySelector('#plot-effects .xtitle').textContent.includes('fd_other')")
    assert button.get_attribute("aria-pressed") == "true"
    assert opened.errors == []


def test_a_value_is_shown_where_the_pointer_is(opened: Opened) -> None:
    point = opened.page.locator("#plot-convergence .scatterlayer .points path").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    assert box is not None
    opened.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    hover = opened.page.locator("#plot-convergence .hoverlayer .hovertext").first
    hover.wait_for()
    assert "12,800 images: " in (hover.text_content() or "")


def test_samples_are_shown_after_as_many_images_as_the_slider_says(opened: Opened) -> None:
    shown, slider = opened.page.locator("#samples .over-time > div:visible"), opened.page.locator("#samples input")
    last = shown.locator("img").first.get_attribute("src")
    slider.press("Home")
    assert opened.page.locator("#samples output").inner_text() == "after 12,800 of 64,000 images"
    assert shown.count() == 1
    assert shown.locator("img").first.get_attribute("src") != last
    slider.press("End")
    assert shown.locator("img").first.get_attribute("src") == last


def test_nothing_sticks_out_of_a_window_of_any_width(opened: Opened) -> None:
    for width in (800, 390, 1440):
        opened.page.set_viewport_size({"width": width, "height": 900})
        widest = "Number(document.querySelector('#plot-convergence .canvas').dataset.width)"
        place = "document.querySelector('#plot-convergence').clientWidth"
        opened.page.wait_for_function(f"{widest} === {place}")
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.errors == []


def test_plots_follow_the_readers_mode_and_paper_is_light_whatever_the_screen(chromium: Browser, path: Path) -> None:
    opened = open_page(chromium, path, scheme="dark")
    look = (
        "[getComputedStyle(document.querySelector('#plot-convergence .xtitle')).fill, "
        "getComputedStyle(document.body).backgroundColor]"
    )
    dark, light = ["rgb(160, 170, 184)", "rgb(18, 21, 26)"], ["rgb(90, 100, 114)", "rgb(246, 247, 249)"]
    assert opened.page.evaluate(look) == dark
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert opened.page.evaluate(look)[0] == light[0]
    assert not opened.page.locator("nav").is_visible()
    assert not opened.page.locator("#plot-convergence .modebar").is_visible()
    widths = opened.page.evaluate("[...document.querySelectorAll('.plot > .canvas')].map(e => Number(e.dataset.width))")
    assert 650 < max(widths) <= 700
    opened.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert opened.page.evaluate(look) == dark
    opened.page.emulate_media(color_scheme="light")
    opened.page.wait_for_function(f"{look}.join() === '{','.join(light)}'")
    assert opened.page.pdf(prefer_css_page_size=True, print_background=True).startswith(b"%PDF")
    assert opened.errors == []


def test_a_thousand_trials_and_twenty_arms_are_still_a_page(chromium: Browser, tmp_path: Path) -> None:
    data = study_data(num_arms=20, num_trials=1000, num_seeds=12)
    file = tmp_path / "large.html"
    file.write_text(page(data))
    opened = open_page(chromium, file)
    assert file.stat().st_size < PLOTLY_BYTES + 1_000_000
    assert opened.errors == []
    assert opened.page.locator("#schedules .card").count() == 20


def test_a_page_that_has_nothing_yet_is_one_all_the_same(chromium: Browser, tmp_path: Path) -> None:
    file = tmp_path / "empty.html"
    empty = study_data(state="Not finished.", arms=[], effects={}, trials=[], samples=[], path=None, importances=[])
    file.write_text(page(empty))
    opened = open_page(chromium, file)
    assert opened.errors == []
    assert opened.page.locator(".state").inner_text() == "Not finished."
    assert opened.page.locator(".js-plotly-plot").count() == 0


def test_no_name_ends_the_script_that_it_is_in(chromium: Browser, tmp_path: Path) -> None:
    trials = study_data().trials
    named = [trial.__class__(**{**vars(trial), "name": "</script><script>throw 1</script>"}) for trial in trials]
    file = tmp_path / "named.html"
    file.write_text(page(study_data(trials=named, name="a & <b>", arms=[], effects={}, importances=[], path=None)))
    opened = open_page(chromium, file)
    assert opened.errors == []
    assert opened.page.locator("h1").inner_text() == "a & <b>"


def test_plotly_is_there_once_and_every_named_colour_has_a_value_in_both_modes(path: Path) -> None:
    text = path.read_text()
    assert text.count("plotly.js v") == 1
    assert not re.search(r"<(script|link|img)[^>]+(src|href)='https?:", text)
    style = text.split("<style>")[1].split("</style>")[0]
    light, dark = style.split("prefers-color-scheme: dark", 1)
    for name in set(re.findall(r'"\$(\w+)', text.split("id='plots'>")[1].split("</script>")[0])) | {"c7", "baseline"}:
        assert f"--{name}: #" in light, name
        assert f"--{name}: #" in dark or name in ("better",), name
    assert all(f"--c{i}: {colour};" in light for i, colour in enumerate(COLOURS))
