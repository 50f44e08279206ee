"""Captioned emojis: ``make emoji``, or ``python examples/emoji/prepare.py FOLDER``.

Pictures are those of Noto Emoji at 64 pixels (the npm package emoji-datasource-google: code MIT, pictures under the
Apache and SIL Open Font licences), captions are the labels and tags of emojibase-data (npm, MIT).  Every tenth label is
held out with all its pictures, so that a caption of the reference was never seen in training.

FOLDER gets ``train`` and ``held-out``, each with pictures and a ``metadata.jsonl``.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

PICTURES = "emoji-datasource-google@16.0.0"
WORDS = "emojibase-data@17.0.0"
FOLDER = "package/img/google/64/"
LABELS = "package/en/data.json"
HELD_OUT = 10  # one label in so many


def main(folder: Path) -> None:
    """Fetch the packages where they are not there yet, and write the two folders."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(package(WORDS, folder)) as archive:
        entries = json.load(archive.extractfile(LABELS))  # type: ignore[arg-type]
    pictures = {}
    with tarfile.open(package(PICTURES, folder)) as archive:
        for member in archive:  # in the order of the file, which cannot be read in another
            if member.name.startswith(FOLDER) and (picture := archive.extractfile(member)) is not None:
                pictures[Path(member.name).stem] = picture.read()
    train = write(pictures, entries, folder / "train", held_out=False)
    held_out = write(pictures, entries, folder / "held-out", held_out=True)
    print(f"{folder}: {train:,} pictures to train on, {held_out:,} of labels that are held out")


def package(name: str, folder: Path) -> Path:
    """The archive of an npm package, fetched once."""
    path = folder / f"{name.replace('@', '-')}.tgz"
    if not path.exists():
        command = ["npm", "pack", "--silent", name]
        try:
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError) as error:
            sys.exit(f"error: {' '.join(command)} failed ({error}): npm and a registry of its packages are needed")
    return path


def write(pictures: dict[str, bytes], entries: list[dict[str, Any]], folder: Path, *, held_out: bool) -> int:
    """Write a folder of pictures and their captions, and return how many there are."""
    folder.mkdir(exist_ok=True)
    rows = []
    for entry in entries:
        if (int(hashlib.sha256(entry["label"].encode()).hexdigest(), 16) % HELD_OUT == 0) != held_out:
            continue
        for variant in (entry, *entry.get("skins", ())):
            for name in [name for name in spellings(variant["hexcode"]) if name in pictures][:1]:
                (folder / f"{name}.png").write_bytes(pictures[name])
                rows.append({"file_name": f"{name}.png", "text": captions(variant["label"], entry.get("tags", []))})
    with (folder / "metadata.jsonl").open("w") as file:
        file.writelines(f"{json.dumps(row)}\n" for row in rows)
    return len(rows)


def spellings(hexcode: str) -> tuple[str, ...]:
    """The names that a picture of some code points may have: variation selectors are left out, or are not."""
    name = hexcode.lower()
    return name, name.replace("-fe0f", ""), f"{name}-fe0f"


def captions(label: str, tags: list[str]) -> list[str]:
    """The label, and the label with what else belongs to the picture."""
    others = [tag for tag in tags if tag not in label.lower().split()]
    return [label, f"{label}: {', '.join(others)}"] if others else [label]


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data/emoji"))
