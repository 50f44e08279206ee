"""Folders for results and cache that cannot be are one message, before anything starts."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from curriculum_search.cli import cache_root, results_root
from curriculum_search.loading import UserError
from curriculum_search.search.measure import temporary_folder

REPOSITORY = Path(__file__).parents[1]
QUICKSTART = "search_spaces/quickstart.yaml"


@pytest.fixture(params=["--results", "CURRICULUM_SEARCH_RESULTS", "CURRICULUM_SEARCH_CACHE"])
def find(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Callable[[str], Path]]:
    """A setting and what finds the folder by it."""
    setting: str = request.param

    def call(folder: str) -> Path:
        if setting == "--results":
            return results_root(folder)
        monkeypatch.setenv(setting, folder)
        return results_root(None) if setting.endswith("RESULTS") else cache_root()

    return setting, call


@pytest.mark.parametrize("below", ["", "/a", "/a/b"])
def test_a_file_on_the_way_is_named(tmp_path: Path, find: tuple[str, Callable[[str], Path]], below: str) -> None:
    setting, call = find
    file = tmp_path / "file"
    file.touch()
    for path in (file, Path("/dev/null")):
        with pytest.raises(UserError, match=f"^{setting}: {path}{below} cannot be a folder: {path} is no folder$"):
            call(f"{path}{below}")
    (tmp_path / "link").symlink_to(file)
    with pytest.raises(UserError, match=f"^{setting}: {file}{below} cannot be a folder: {file} is no folder$"):
        call(f"{tmp_path}/link{below}")


def test_what_is_no_path_is_named(tmp_path: Path, find: tuple[str, Callable[[str], Path]]) -> None:
    setting, call = find
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for name in ("~nobody-of-this-name/x", f"{tmp_path}/circle/x"):
        with pytest.raises(UserError, match=rf"^{setting}: {name} is no folder's name \(.*\)$"):
            call(name)


def test_a_folder_that_is_there_or_can_be_is_found(tmp_path: Path, find: tuple[str, Callable[[str], Path]]) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")  # which is not there yet
    assert find[1](str(tmp_path)) == tmp_path
    assert find[1](str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
    assert find[1](str(tmp_path / "link" / "a")) == tmp_path / "elsewhere" / "a"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    "command",
    [("search", QUICKSTART), ("search", QUICKSTART, "--plan"), ("train", QUICKSTART), ("difficulty", QUICKSTART)],
)
def test_every_command_ends_with_one_message(command: tuple[str, ...]) -> None:
    name, *arguments = command
    done = subprocess.run(
        [sys.executable, f"jobs/{name}.py", *arguments, "--results", "/dev/null/results"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    message = "error: --results: /dev/null/results cannot be a folder: /dev/null is no folder\n"
    assert (done.returncode, done.stderr) == (2, message)


def test_a_plan_that_can_make_no_folder_says_so() -> None:
    with (
        pytest.raises(UserError, match=r"^/proc/nowhere/a: no folder can be made there \(No such file or directory\)$"),
        temporary_folder(Path("/proc/nowhere/a")),
    ):
        pass


def test_a_curriculum_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    output = tmp_path / "nowhere" / "curriculum.json"
    done = subprocess.run(
        [sys.executable, "jobs/export.py", QUICKSTART, output], cwd=REPOSITORY, capture_output=True, text=True
    )
    message = f"error: {output}: cannot be written (No such file or directory)\n"
    assert (done.returncode, done.stderr) == (2, message)
