"""The end of a program's output, and why it failed, under torchrun too."""

from pathlib import Path

import pytest

from curriculum_search.trainers.output import cause, last_lines

TRACEBACK = """Traceback (most recent call last):
  File "train.py", line 3, in <module>
    main()
ValueError: no such data: x
  and more of it
"""
#: What torchrun 2.13 adds to the output of a worker that fails.
TORCHRUN = """
W1130 07:49:47.1 8437 torch/distributed/elastic/multiprocessing/api.py:900] Sending process 8442 closing signal SIGTERM
E1130 07:49:47.6 8437 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: 1) local_rank: 0
Traceback (most recent call last):
  File "torchrun", line 3, in <module>
    main()
  File "lib/torch/distributed/launcher/api.py", line 383, in launch_agent
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
train.py FAILED
============================================================
"""
#: What accelerate 1.15 adds.
ACCELERATE = """Traceback (most recent call last):
  File "bin/accelerate", line 8, in <module>
    sys.exit(main())
  File "lib/accelerate/commands/launch.py", line 999, in simple_launcher
    raise subprocess.CalledProcessError(returncode=process.returncode, cmd=cmd)
subprocess.CalledProcessError: Command '['python', 'train.py']' returned non-zero exit status 1.
"""


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("a line\n\n", "a line"),
        ("a\n" + TRACEBACK, "ValueError: no such data: x"),
        (TRACEBACK + "during which\n" + TRACEBACK.replace("ValueError", "m.KeyError"), "m.KeyError: no such data: x"),
        ("usage: train.py\ntrain.py: error: unrecognized arguments: --lr\n", "train.py: error: unrecognized"),
    ],
    ids=["a line", "a traceback", "two tracebacks", "arguments"],
)
@pytest.mark.parametrize("launcher", ["", TORCHRUN, ACCELERATE], ids=["alone", "torchrun", "accelerate"])
def test_the_cause_is_found_in_what_the_program_itself_said(tmp_path: Path, said: str, why: str, launcher: str) -> None:
    output = tmp_path / "output.txt"
    ranked = "".join(f"[rank0]: {line}\n" for line in said.splitlines()) if launcher == TORCHRUN else said
    output.write_text(ranked + launcher)
    lines = last_lines(output)
    assert lines == [line for line in said.splitlines() if line]
    assert cause(lines).startswith(why)


def test_a_program_that_has_said_nothing(tmp_path: Path) -> None:
    assert cause(last_lines(tmp_path / "output.txt")) == "it has said nothing"
