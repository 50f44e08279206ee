"""Which tests share a process: without groups each fixture of a module is made twice, and two processes start Ray."""

import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def test_the_tests_of_a_file_and_all_that_start_ray_have_one_process() -> None:
    files = ("test_direction.py", "test_rayignore.py", "runs/test_result.py")
    command = [sys.executable, "-m", "pytest", "-v", "--numprocesses=2", "-p", "no:cacheprovider", *files]
    run = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout
    by = {file: set(re.findall(rf"^\[(gw\d)\].* PASSED {file}::", run.stdout, re.M)) for file in files}
    assert all(len(processes) == 1 for processes in by.values())
    assert by["test_rayignore.py"] == by["runs/test_result.py"] != by["test_direction.py"]
