"""When does the order of noise levels help?  The studies of search_spaces/findings/, and the page that they lead to.

    python benchmarks/findings.py --plan        runs, images and hours, by context; nothing is trained but a few steps
    python benchmarks/findings.py               all of it, context by context; the same command again goes on
    python benchmarks/findings.py --context digits-x0-short --only arms
    python benchmarks/findings.py --write       docs/findings.md and its figure again, from what has been kept
    python benchmarks/findings.py --commands    the command that runs each context alone, without this script
    python benchmarks/findings.py --repeat digits-x0-short hard_half 101    one run again: does it end at the same?

Of each context first the learning rate of ordinary training is chosen, then its arms are compared, then the difficulty
of its noise levels is measured, and in two contexts a search is set beside the arms.  What has ended is kept in
benchmarks/findings.json, and the page says which contexts have been run and which have not.
"""

import argparse
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from findings_parts.contexts import Context, chosen, read_rates
from findings_parts.page import write_page
from findings_parts.plan import show_plan
from findings_parts.records import (
    CONTEXTS,
    DIFFICULTY,
    SEARCHES,
    keep,
    keep_rate,
    measured_difficulty,
    read_arms,
    read_records,
    values_of,
)

from curriculum_search.cli import cache_root, results_root
from curriculum_search.entry import run_command
from curriculum_search.evaluation import Diverged
from curriculum_search.loading import UserError
from curriculum_search.search.arms import Arm, exposure_control
from curriculum_search.search.driver import run_study
from curriculum_search.search.study import StudyFile
from curriculum_search.training import PlainSession, Report, train

PARTS = ("learning-rates", "arms", "difficulty", "searches")


def run_context(context: Context, parts: Collection[str], *, root: Path, cache_dir: Path) -> None:
    """Run what is missing of a context, and write the page whenever a part of it has ended.

    Raises:
        UserError: what has to be changed before anything can start; or some runs failed.
    """
    if "learning-rates" in parts and context.name not in read_rates():
        keep_rate(context, _ended(context.rates(), root, cache_dir))
        (context,) = chosen(context.name)
    records = read_records()
    if "arms" in parts and context.name not in records[CONTEXTS]:
        keep(CONTEXTS, context.name, _arms(context.study(), root, cache_dir))
        write_page()
    if "difficulty" in parts and context.measures_difficulty and context.name not in records[DIFFICULTY]:
        keep(DIFFICULTY, context.name, measured_difficulty(context, root=root, cache_dir=cache_dir))
        write_page()
    if "searches" in parts and context.is_searched and context.name not in records[SEARCHES]:
        keep(SEARCHES, context.name, _arms(context.search(), root, cache_dir))
        write_page()


def _ended(file: StudyFile, root: Path, cache_dir: Path) -> Path:
    run_study(file, root=root, cache_dir=cache_dir)
    return root / file.study.name


def _arms(file: StudyFile, root: Path, cache_dir: Path) -> dict[str, Any]:
    folder = _ended(file, root, cache_dir)
    record = read_arms(folder)
    if record is None:
        raise UserError(f"{folder}: some runs failed; the same command tries them again")
    return record


def repeat(context: Context, arm_name: str, seed: int, *, cache_dir: Path) -> None:
    """Train one run again, alone, and say whether it ends where it did.

    Raises:
        UserError: no such run has been kept.
    """
    record = read_records()[CONTEXTS].get(context.name)
    if record is None or str(seed) not in record["arms"].get(arm_name, {}).get("runs", {}):
        raise UserError(f"--repeat: benchmarks/findings.json has no run of {context.name}, {arm_name}, seed {seed}")
    file = context.study()
    arms = {arm.name: arm for arm in (*file.baselines(), *file.arms)}
    arm = arms.get(arm_name)
    if arm is None:  # the control of another, whose exposure is that of its first run
        ordered = arms[arm_name.removesuffix(" / exposure")]
        arm = exposure_control(ordered, last_report(file, ordered, record["plan"]["first_seed"], cache_dir).exposure)
    report = last_report(file, arm, seed, cache_dir)
    for metric in record["metrics"]:
        known = values_of(record, metric)[arm_name][seed]
        value = report.metrics[metric]
        print(f"{metric}: {value!r}, kept: {known!r}: {'the same' if value == known else 'not the same'}")


def last_report(file: StudyFile, arm: Arm, seed: int, cache_dir: Path) -> Report:
    """The last report of a run that is trained in this process."""
    with tempfile.TemporaryDirectory() as folder:
        session = PlainSession(Path(folder))
        try:
            train(file.run(arm, seed).experiment, session, cache_dir)
        except Diverged as error:
            raise UserError(f"{arm.name}, seed {seed}: {error}") from error
    return session.reports[-1]


def main() -> None:
    """Read the command line, and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--context", help="one of search_spaces/findings/contexts.yaml (default: all, in its order)")
    parser.add_argument("--only", choices=PARTS, help="one part of each context (default: all)")
    parser.add_argument("--plan", action="store_true", help="say what would be trained, and how long that takes")
    parser.add_argument("--commands", action="store_true", help="print the command of each context")
    parser.add_argument("--write", action="store_true", help="write the page and its figure, and train nothing")
    parser.add_argument("--repeat", nargs=3, metavar=("CONTEXT", "ARM", "SEED"), help="train one run again")
    parser.add_argument("--results", help="folder for results (default: ./results)")
    arguments = parser.parse_args()
    root, cache_dir = results_root(arguments.results), cache_root()
    contexts = chosen(arguments.context)
    if arguments.repeat:
        name, arm, seed = arguments.repeat
        repeat(chosen(name)[0], arm, int(seed), cache_dir=cache_dir)
    elif arguments.commands:
        for context in contexts:
            print(context.command)
    elif arguments.plan:
        show_plan(contexts, root=root, cache_dir=cache_dir)
    elif arguments.write:
        write_page()
    else:
        for context in contexts:
            run_context(context, (arguments.only,) if arguments.only else PARTS, root=root, cache_dir=cache_dir)


if __name__ == "__main__":
    run_command(main)
