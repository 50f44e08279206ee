"""Which files a training of one's own consists of, and the hash by which changed code is another run.

It is found without running anything: the files that are named, and what they import, directly or through each other,
from beside them.  What is imported by other means (a name that is only known at run time, a config file) is named too.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

_OURS = Path(__file__).parents[1]


def code_files(entries: Iterable[Path], sources: Sequence[str], folder: Path) -> tuple[Path, ...]:
    """The files of a training, in the order of their names.

    Args:
        entries: files that are run.  Of Python files, what they import from their own folder or below is added.
        sources: patterns of further files, relative to `folder`.
        folder: where the code lies.

    Raises:
        ValueError: a pattern matches no file.
    """
    found: set[Path] = set()
    for pattern in sources:
        matches = [path.resolve() for path in sorted(folder.glob(pattern)) if path.is_file()]
        if not matches:
            raise ValueError(f"sources: no file in {folder} is named {pattern}")
        found.update(matches)
    for entry in entries:
        root, queue = entry.resolve().parent, [entry.resolve()]
        while queue:
            path = queue.pop()
            found.add(path)
            queue += [other for other in _imports(path, root) if other not in found]
    return tuple(sorted(found))


def code_hash(files: Iterable[Path], folder: Path) -> str:
    """12 hexadecimal digits of what the files hold, whatever folder they lie in.

    Raises:
        ValueError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for path in files:
        name = path.relative_to(folder.resolve()) if path.is_relative_to(folder.resolve()) else Path(path.name)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error.strerror})") from error
        digest.update(f"{name.as_posix()} {hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()[:12]


def parse(path: Path) -> ast.Module:
    """The syntax tree of a Python file.

    Raises:
        ValueError: it cannot be read, or is no Python.
    """
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: is no Python: {error.msg}") from error


def _imports(path: Path, root: Path) -> Iterator[Path]:
    """The files that a Python file imports from `root` or below; nothing of a file that is no Python."""
    if path.suffix != ".py":
        return
    try:
        tree = parse(path)
    except ValueError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _modules(root, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = root if not node.level else path.parents[node.level - 1]
            if base == root or root in base.parents:
                for alias in node.names:
                    yield from _modules(base, ".".join(filter(None, [node.module, alias.name])))


def _modules(base: Path, dotted: str) -> Iterator[Path]:
    """The files that importing a name runs: packages on the way, and the module."""
    for part in dotted.split("."):
        base = base / part
        if (module := base.with_name(f"{part}.py")).is_file():
            yield module.resolve()
            return
        if not base.is_dir() or base.resolve() == _OURS:
            return
        if (package := base / "__init__.py").is_file():
            yield package.resolve()
