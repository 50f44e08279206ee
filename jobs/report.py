"""Write the report of a study on one page, as it stands: ``python jobs/report.py results/quickstart``.

The study may be finished, under way, interrupted or failed; it is only read.  ``report.html`` in its folder needs no
network and opens in any browser.  With ``--figures``, the figures for papers lie beside it as PNG, PDF and SVG.
"""

import argparse
from pathlib import Path

from curriculum_search.entry import path_or_address, run_command


def main() -> None:
    """Read the command line and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=path_or_address, help="the folder of a study, as in results/quickstart")
    parser.add_argument("--output", type=Path, help="the page (default: report.html in that folder)")
    parser.add_argument("--figures", action="store_true", help="also draw the folder figures beside the page")
    parser.add_argument("--no-plugins", dest="plugins", action="store_false", help="refuse studies that name plug-ins")
    arguments = parser.parse_args()

    from curriculum_search.cli import cache_root
    from curriculum_search.loading import PluginRunner
    from curriculum_search.search.reading import report_folder
    from curriculum_search.search.results.figures import FIGURES
    from curriculum_search.storage import fetched, sent

    folder = fetched(arguments.study, cache_root())
    runner = PluginRunner(allowed=arguments.plugins)
    page = report_folder(folder, arguments.output, runner, figures=arguments.figures)
    for figure in sorted((page.parent / FIGURES).iterdir()) if arguments.figures else ():
        sent(figure)
    print(page if arguments.output else sent(page))


if __name__ == "__main__":
    run_command(main)
