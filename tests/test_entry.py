"""How commands end, from their first import on."""

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from curriculum_search.entry import run_command
from curriculum_search.loading import UserError

REPOSITORY = Path(__file__).parents[1]
INTERRUPTED = "\ninterrupted; the same command goes on from here\n"


@pytest.fixture(autouse=True)
def _own_handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def raising(error: BaseException) -> Callable[[], None]:
    def main() -> None:
        raise error

    return main


def signalling(number: int) -> Callable[[], None]:
    def main() -> None:
        os.kill(os.getpid(), number)

    return main


@pytest.mark.parametrize(
    ("main", "status", "err"),
    [
        (
            raising(UserError("x.yaml: seed: must be a whole number")),
            2,
            "error: x.yaml: seed: must be a whole number\n",
        ),
        (raising(KeyboardInterrupt()), 130, INTERRUPTED),
        (signalling(signal.SIGINT), 130, INTERRUPTED),
        (signalling(signal.SIGTERM), 130, INTERRUPTED),
    ],
)
def test_a_command_ends_with_one_message_and_its_status(
    main: Callable[[], None], status: int, err: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        run_command(main)
    assert end.value.code == status
    assert capsys.readouterr() == ("", err)


def test_a_command_that_is_done_ends_quietly(capsys: pytest.CaptureFixture[str]) -> None:
    run_command(lambda: print("done"))
    assert capsys.readouterr() == ("done\n", "")


def test_what_nobody_foresaw_is_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="unforeseen"):
        run_command(raising(RuntimeError("unforeseen")))


def test_a_warning_is_one_line() -> None:
    run_command(lambda: None)
    assert warnings.formatwarning("too few samples", UserWarning, "x.py", 3) == "warning: too few samples\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("job", sorted(path.stem for path in REPOSITORY.joinpath("jobs").glob("*.py")))
def test_a_signal_while_a_command_imports_ends_it_likewise(tmp_path: Path, job: str, number: signal.Signals) -> None:
    # In the place of the first large import, one that takes its time.
    (tmp_path / "torch.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(600)\n")
    search = os.pathsep.join(filter(None, (str(tmp_path), str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, str(REPOSITORY / "jobs" / f"{job}.py"), "study.yaml"]
    with subprocess.Popen(
        command + ["output"] * (job in ("export", "encode")),
        env=os.environ | {"PYTHONPATH": search},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "importing\n"
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out, err) == (130, "", INTERRUPTED)
