"""What faults cost, and whether anything comes out wrong.

    python benchmarks/faults.py                                       each fault ten times
    python benchmarks/faults.py --times 3 --only "Ctrl-C" "SIGTERM"   a part; what faults.json has counts
    python benchmarks/faults.py --again --only "Ctrl-C"               as if it had not been injected yet
    python benchmarks/faults.py --write                               put what is in faults.json into the pages

Each fault is injected into a small run (jobs/train.py) or a small study (jobs/search.py, one trial at a time, so that
it proposes the same whatever happens), each time in another results folder and at a random step.  Then the same command
is given until it ends well and MLflow has everything.  Then every run has to be there once, with each point of its
curve once in the log and in MLflow and the values of the undisturbed command; and no process, no lock that is held and
no partial file may be left.

Lost are the images that were trained again: a plug-in counts the steps.  Each injection is written to faults.json
as soon as it is over.  A full disk is a small one in memory, which only root can mount.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from faults_parts.checks import Workshop
from faults_parts.kinds import KINDS
from faults_parts.records import RECORDS, forget, keep, read_records, row, write_pages


def main() -> None:
    """Inject each fault, and print a row of the table for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10, help="of each fault")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), metavar="NAME", help="these faults")
    parser.add_argument("--again", action="store_true", help="forget what was found of these faults")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--records", type=Path, default=RECORDS, help="where to write what was found")
    parser.add_argument("--write", action="store_true", help="inject nothing; put what was found into the pages")
    arguments = parser.parse_args()
    if arguments.write:
        write_pages(read_records(arguments.records))
        return
    if arguments.again:
        forget(arguments.only, arguments.records)
    bad = False
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as root:
        workshop = Workshop(Path(root))
        for name in arguments.only:
            kind, known = KINDS[name], len(read_records(arguments.records).get(name, {"lost": []})["lost"])
            with workshop.servers(kind.setting.servers) as server:
                for number in range(known, arguments.times):
                    chance = random.Random(f"{arguments.seed} {name} {number}")
                    found = workshop.inject(name, kind, server, chance)
                    keep(name, found, arguments.records)
                    for words in found.wrong:
                        print(f"{name}, number {number}: {words}", file=sys.stderr, flush=True)
                        bad = True
            print(row(name, read_records(arguments.records)[name]), flush=True)
    sys.exit(bad)


if __name__ == "__main__":
    main()
