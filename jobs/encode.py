"""Encode images once, to train on their latents: ``python jobs/encode.py experiment.yaml folder [path=value ...]``.

Takes an experiment or a study file whose data are images and whose encoder is an autoencoder, ``kind: vae``, and leaves
files in the folder that ``data: {kind: latents, path: folder}`` reads: mean and standard deviation of each latent,
labels, and how they came about.  Parts are encoded in parallel on Ray; the same command again goes on where it was.
"""

import argparse

from curriculum_search.entry import path_or_address, run_command


def main() -> None:
    """Read the command line and encode."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=path_or_address, help="an experiment or a study file in YAML")
    parser.add_argument("folder", type=path_or_address, help="where the latents go")
    parser.add_argument("overrides", nargs="*", metavar="path=value", help="any field, as in data.path=train.zip")
    parser.add_argument("--flip", action="store_true", help="encode the mirrored images too, in place of mirroring")
    parser.add_argument("--part", type=int, default=4096, help="images of one file (default: 4096)")
    parser.add_argument("--no-plugins", dest="plugins", action="store_false", help="refuse files that name plug-ins")
    arguments = parser.parse_intermixed_args()

    from curriculum_search.cli import cache_root
    from curriculum_search.loading import PluginRunner, UserError, load_experiment_or_base, parse_overrides
    from curriculum_search.storage import fetched

    if isinstance(arguments.folder, str):
        raise UserError(
            f"{arguments.folder}: latents are mapped from a disk; give a folder, and copy it there yourself"
        )
    experiment, plugins = load_experiment_or_base(
        fetched(arguments.experiment, cache_root()),
        parse_overrides(arguments.overrides),
        PluginRunner(allowed=arguments.plugins),
    )
    from curriculum_search.commands.encode import encode_images

    encode_images(
        experiment,
        plugins,
        where=str(arguments.experiment),
        folder=arguments.folder,
        flip=arguments.flip,
        part_images=arguments.part,
    )


if __name__ == "__main__":
    run_command(main)
