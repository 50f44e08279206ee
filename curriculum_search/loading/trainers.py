"""Training code of the user's own that a file names: where it lies, and whether it may be run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curriculum_search.loading.errors import shown
from curriculum_search.loading.plugins import PluginRunner

#: By kind: the field whose path starts at the folder of the file that names it.
_PATHS = {"function": "path", "command": "folder"}


def with_trainer(raw: Mapping[str, Any], runner: PluginRunner, where: str, folder: Path, field: str) -> dict[str, Any]:
    """An experiment's fields in which training code is named by its absolute path.

    Args:
        raw: the fields of an experiment.
        runner: says which code is run, or refuses it.
        where: the file's name, for messages.
        folder: the file's folder, at which relative paths start.
        field: dotted path of the trainer in the file.

    Raises:
        UserError: files that name code are refused.
    """
    trainer = raw.get("trainer")
    name = _PATHS.get(str(trainer.get("kind"))) if isinstance(trainer, Mapping) else None
    if not isinstance(trainer, Mapping) or name is None:
        return dict(raw)
    given = trainer.get(name, ".")
    if not isinstance(given, str):
        return dict(raw)
    path = (folder / given).absolute()
    words = trainer.get("command", str(path))
    runner.allow(str(path), f"{where}: {field}: {shown(words)}", "training code that is run")
    return {**raw, "trainer": {**trainer, name: str(path)}}
