"""What ``ray job submit --working-dir .`` sends: the code and the user's data, whatever their folders are called."""

import logging
import shutil
import zipfile
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import create_package

REPOSITORY = Path(__file__).parents[1]


def sent(folder: Path, package: Path) -> set[str]:
    """The files in the package that Ray makes of a folder."""
    create_package(str(folder), package, include_gitignore=True, logger=logging.getLogger(__name__))
    with zipfile.ZipFile(package) as archive:
        return {info.filename for info in archive.infolist() if not info.is_dir()}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the repository's ignore files, and a file in each folder that a test names."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in (".rayignore", ".gitignore"):
        shutil.copy(REPOSITORY / name, folder)
    return folder


def put(folder: Path, *names: str) -> set[str]:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return set(names)


@pytest.mark.parametrize("data", ["data", "data/train", "images", "my docs"])
def test_class_folders_are_sent_whatever_they_are_called(checkout: Path, tmp_path: Path, data: str) -> None:
    classes = ("docs", "tests", "results", "benchmarks", "cats")
    images = put(checkout, *(f"{data}/{name}/1.png" for name in classes))
    assert images <= sent(checkout, tmp_path / "package.zip")


def test_the_code_is_sent_its_rooms_called_results_too(checkout: Path, tmp_path: Path) -> None:
    code = put(checkout, "jobs/search.py", "curriculum_search/search/results/publish.py", "search_spaces/ffhq256.yaml")
    assert code <= sent(checkout, tmp_path / "package.zip")


def test_what_is_large_and_not_needed_there_is_not_sent(checkout: Path, tmp_path: Path) -> None:
    put(
        checkout,
        *(".git/objects/pack", ".venv/lib/python3/torch.so", "results/quickstart/best.yaml", "mlruns/0/meta.yaml"),
        *("mlflow.db", "mlflow.db-journal", "mlartifacts/1/samples.png", ".mypy_cache/3/x.json", ".ruff_cache/x"),
        *(".pytest_cache/v", ".hypothesis/x", "tests/test_x.py", "benchmarks/search.py", "docs/convergence.png"),
    )
    assert sent(checkout, tmp_path / "package.zip") == {".rayignore", ".gitignore"}


def test_a_worktree_whose_git_is_a_file_is_sent_without_it(checkout: Path, tmp_path: Path) -> None:
    put(checkout, ".git")
    assert ".git" not in sent(checkout, tmp_path / "package.zip")


def test_of_this_repository_the_code_is_sent_alone(tmp_path: Path) -> None:
    names = sent(REPOSITORY, tmp_path / "package.zip")
    assert {"jobs/search.py", "curriculum_search/search/results/publish.py", "search_spaces/quickstart.yaml"} <= names
    assert not {".venv", ".git", "tests", "docs", "benchmarks"} & {name.partition("/")[0] for name in names}
