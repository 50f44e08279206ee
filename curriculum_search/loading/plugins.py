"""Plug-ins: Python files that define kinds of the user's own, which an experiment file names.

They are code, and an experiment file may come from anybody.  So a command says which it runs before it runs them, they
lie beside the file that names them or below, and ``--no-plugins`` refuses such files.
"""

import hashlib
import os
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curriculum_search.atomic import write_whole
from curriculum_search.config import Kinded
from curriculum_search.loading.errors import UserError, shown

_MODULE = "curriculum_search_plugin_"


class PluginRunner:
    """Runs the plug-ins of the files that a command reads, and says each before; or refuses all.

    Args:
        allowed: whether files may name plug-ins.
    """

    def __init__(self, *, allowed: bool = True) -> None:
        self.allowed = allowed
        self._told: set[str] = set()

    def run(self, paths: Any, where: str, folder: Path, *, field: str = "plugins") -> dict[str, str]:
        """Run the plug-ins that a file names.

        Args:
            paths: what the file's field holds.
            where: the file's name, for messages.
            folder: the file's folder.
            field: dotted path of the field in the file.

        Returns:
            Their source texts by their path in the folder.

        Raises:
            UserError: there are plug-ins and none is allowed, or see `read_plugins` and `define_plugins`.
        """
        if paths:
            self._check_allowed(f"{where}: {field}: {shown(paths)}")
        sources = read_plugins(paths, where, folder, field=field)
        self._tell([os.path.realpath(folder / name) for name in sources], "plug-ins that are run")
        define_plugins(sources)
        return sources

    def allow(self, path: str, named: str, what: str) -> None:
        """Say that other code of the user's is run, or refuse it.

        Args:
            path: of the code.
            named: the field that names it, for the message.
            what: the code is.

        Raises:
            UserError: no code is allowed.
        """
        self._check_allowed(named)
        self._tell([os.path.realpath(path)], what)

    def _check_allowed(self, named: str) -> None:
        if not self.allowed:
            raise UserError(f"{named} would be run, which --no-plugins forbids")

    def _tell(self, files: list[str], what: str) -> None:
        new = [file for file in files if file not in self._told]
        if new:
            print(f"{what}: {', '.join(new)}", flush=True)
        self._told.update(new)


def read_plugins(paths: Any, where: str, folder: Path, *, field: str = "plugins") -> dict[str, str]:
    """The source texts of plug-ins by their path in `folder`, links resolved.

    Raises:
        UserError: `paths` is not a list of names, or a file is missing, is no Python file, or lies outside `folder`.
    """
    if not isinstance(paths, list | tuple) or not all(isinstance(path, str) for path in paths):
        raise UserError(f"{where}: {field}: must be a list of file names, not {shown(paths)}")
    sources, home = {}, Path(os.path.realpath(folder))
    for given in paths:
        path = folder / given
        real = Path(os.path.realpath(path if given.isprintable() else home))
        if not real.is_relative_to(home):
            raise UserError(
                f"{where}: {field}: {path} lies outside {home}, at {real}; a plug-in must lie beside the file that "
                f"names it, or below"
            )
        name = real.relative_to(home).as_posix()
        if real.suffix != ".py" or not name.isprintable():
            raise UserError(f"{where}: {field}: must be names of Python files (.py), not {shown(given)}")
        if real.exists() and not real.is_file():
            raise UserError(f"{where}: {field}: {path} is no file")
        try:
            sources[name] = real.read_bytes().decode("utf-8-sig")
        except OSError as error:
            raise UserError(f"{where}: {field}: {path} cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise UserError(f"{where}: {field}: {path} is not a text file") from error
    return sources


def write_plugins(folder: Path, sources: Mapping[str, str]) -> None:
    """Write plug-ins into another folder, under the paths by which `read_plugins` gave them."""
    for name, source in sources.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, source)


def define_plugins(sources: Mapping[str, str]) -> None:
    """Run plug-ins' source texts as modules, each text once a process; a remote worker needs no copy of the files.

    Raises:
        UserError: a plug-in raises, or defines a kind that another has defined.
    """
    for name, source in sources.items():
        module_name = f"{_MODULE}{hashlib.sha256(source.encode()).hexdigest()[:16]}"
        if module_name in sys.modules:
            continue
        module = types.ModuleType(module_name)
        module.__file__ = name
        module.__dict__["source"] = source  # for a program that a run starts, which needs its kinds too
        sys.modules[module_name] = module
        before = _kinds()
        try:
            exec(compile(source, name, "exec"), module.__dict__)
            _check_kinds(before)
        except (Exception, SystemExit) as error:
            del sys.modules[module_name]
            raise UserError(f"plug-in {name} fails: {type(error).__name__}: {error}") from error


def _kinds() -> dict[tuple[type[Kinded], str], type[Kinded]]:
    """Every registered kind by its family and name."""
    return {(family, kind): cls for family in Kinded.__subclasses__() for kind, cls in family.kinds().items()}


def _check_kinds(before: Mapping[tuple[type[Kinded], str], type[Kinded]]) -> None:
    """Whether no plug-in has put a class of its own in the place of another plug-in's.

    Raises:
        ValueError: one has.
    """
    for (family, kind), cls in _kinds().items():
        known = before.get((family, kind), cls)
        if known is not cls and known.__module__.startswith(_MODULE) and known.__module__ != cls.__module__:
            other = sys.modules.get(known.__module__)
            raise ValueError(f"kind {kind!r} is already taken, by plug-in {getattr(other, '__file__', 'another')}")
