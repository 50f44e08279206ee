"""Which files training code consists of: found without running it."""

from pathlib import Path

import pytest

from curriculum_search.experiment.code import code_files, code_hash, parse


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


FILES = {
    "train.py": "import torch, net\nfrom parts.blocks import Block\n\n\ndef train(run):\n    from late import x\n",
    "net.py": "import net  # itself\nfrom parts import *\n",
    "late.py": "x = 1\n",
    "parts/__init__.py": "from . import shapes\n",
    "parts/blocks.py": "from ..net import y\nfrom .deep.inner import z\nimport os.path\n",
    "parts/shapes.py": "def broken(:\n",
    "parts/deep/inner.py": "z = 1\n",
    "unused.py": "import train\n",
    "configs/a.yaml": "a: 1\n",
    "configs/b.yaml": "b: 1\n",
}


def names(folder: Path, *sources: str) -> list[str]:
    files = code_files([folder / "train.py"], sources, folder)
    return [path.relative_to(folder).as_posix() for path in files]


def test_what_is_imported_from_beside_it_belongs_to_it_and_what_is_named(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    imported = ["late.py", "net.py", "parts/__init__.py", "parts/blocks.py", "parts/deep/inner.py", "parts/shapes.py"]
    assert names(tmp_path) == [*imported, "train.py"]
    assert names(tmp_path, "configs/*.yaml") == sorted(
        [*imported, "train.py", "configs/a.yaml", "configs/b.yaml"], key=lambda name: Path(name).parts
    )


def test_a_pattern_without_a_file_is_named(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    with pytest.raises(ValueError, match=rf"^sources: no file in {tmp_path} is named \*.toml$"):
        names(tmp_path, "*.toml")


def test_the_hash_is_of_what_the_files_hold_and_not_of_where_they_lie(tmp_path: Path) -> None:
    hashes = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        write(folder, FILES)
        hashes.append(code_hash(code_files([folder / "train.py"], [], folder), folder))
    assert hashes[0] == hashes[1]
    (tmp_path / "b" / "unused.py").write_text("another = 1\n")
    assert code_hash(code_files([tmp_path / "b" / "train.py"], [], tmp_path / "b"), tmp_path / "b") == hashes[0]
    for name in ("train.py", "parts/deep/inner.py"):
        path = tmp_path / "b" / name
        path.write_text(path.read_text() + "# changed\n")
        assert code_hash(code_files([tmp_path / "b" / "train.py"], [], tmp_path / "b"), tmp_path / "b") != hashes[0]
        path.write_text(FILES[name])


def test_this_package_is_no_part_of_code_that_lies_beside_it() -> None:
    root = Path(__file__).parents[2]
    files = code_files([root / "jobs" / "search.py"], [], root)
    assert files == (root / "jobs" / "search.py",)
    beside = code_files([root / "setup_that_is_not_there.py"], [], root)
    assert beside == (root / "setup_that_is_not_there.py",)


def test_a_file_that_is_no_python_is_told_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    with pytest.raises(ValueError, match=r"shapes.py, line 1: is no Python: "):
        parse(tmp_path / "parts" / "shapes.py")
    with pytest.raises(ValueError, match=r"nothing.py cannot be read \(No such file or directory\)$"):
        parse(tmp_path / "nothing.py")
    with pytest.raises(ValueError, match=r"nothing.py cannot be read"):
        code_hash([tmp_path / "nothing.py"], tmp_path)
