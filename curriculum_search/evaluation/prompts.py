"""Prompts of the user's own, for which samples are shown."""

from pathlib import Path


def read_prompts(prompts: tuple[str, ...] | str | None) -> tuple[str, ...]:
    """The prompts in a list, or in a text file with one a line; none where there is neither.

    Raises:
        ValueError, FileNotFoundError: there is no such file, one of them is empty, or there are none.
    """
    if prompts is None:
        return ()
    where, lines = "prompts", prompts
    if isinstance(prompts, str):
        path = Path(prompts).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"prompts: {prompts} does not exist (looked for {path.absolute()})")
        where = f"prompts: {prompts}"
        try:
            lines = tuple(path.read_text().splitlines())
        except UnicodeDecodeError as error:
            raise ValueError(f"{where} is no text file: {error.reason}") from error
    if not lines:
        raise ValueError(f"{where}: no prompt in it")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise ValueError(f"{where}: line {number} is empty; take it out")
    return tuple(line.strip() for line in lines)
