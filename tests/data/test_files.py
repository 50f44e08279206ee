"""What folders and archives of image files have in common."""

import gc
import io
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.image_files import edm_zip, picture, write
from support.shards import shard

from curriculum_search.data import DataSource, Folder, Zip

RNG = np.random.default_rng(0)


def test_reading_again_from_memory_from_files_and_from_many_threads_gives_the_same(tmp_path: Path) -> None:
    stored = edm_zip(tmp_path / "set.zip", [f"{i:03d}.png" for i in range(40)])
    half = 20 * 3 * 8 * 8 / 2**30
    for cache_gib in (0.0, half, 1.0):
        image_set = Zip(path=str(tmp_path / "set.zip"), cache_gib=cache_gib).load()
        draws = [RNG.integers(0, 40, 16) for _ in range(40)]
        with ThreadPoolExecutor(4) as pool:
            for draw, (images, _) in zip(draws, pool.map(image_set.read, draws), strict=True):
                assert np.array_equal(images.numpy(), stored[draw])


def test_the_fingerprint_follows_content_and_settings(tmp_path: Path) -> None:
    names = ["a.png", "b.png"]
    edm_zip(tmp_path / "1.zip", names, [["a.png", 0], ["b.png", 1]], size=16)
    (tmp_path / "2.zip").write_bytes((tmp_path / "1.zip").read_bytes())
    edm_zip(tmp_path / "3.zip", names, [["a.png", 0], ["b.png", 1]], size=16)
    prints = [Zip(path=str(tmp_path / f"{i}.zip")).load().fingerprint for i in (1, 2, 3)]
    assert prints[0] == prints[1] != prints[2]
    first = str(tmp_path / "1.zip")
    variants = [Zip(path=first), Zip(path=first, resolution=8), Zip(path=first, channels=1)]
    assert len({v.load().fingerprint for v in [*variants, Zip(path=first, use_labels=False)]}) == 4


def test_the_reference_can_be_another_folder_at_the_training_resolution(tmp_path: Path) -> None:
    write(tmp_path / "train" / "0.png", picture())
    write(tmp_path / "test" / "0.png", picture(16, 16))
    write(tmp_path / "grey" / "0.png", picture(channels=1))
    train, test, grey = (str(tmp_path / name) for name in ("train", "test", "grey"))
    source = Folder(path=train, reference_path=test)
    source.check()
    assert source.reference().resolution == 8
    assert Folder(path=train).reference() is Folder(path=train).load()
    with pytest.raises(ValueError, match=r"reference_path: .*grey: 1 channels, while path has 3"):
        Folder(path=train, reference_path=grey).check()
    with pytest.raises(FileNotFoundError, match="reference_path: nowhere does not exist"):
        Folder(path=train, reference_path="nowhere").check()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"resolution": 0}, "resolution must be at least 1, not 0"),
        ({"channels": 2}, "channels must be 1, 3 or null, not 2"),
        ({"crop": "middle"}, "crop must be none or center, not middle"),
        ({"crop": "center"}, "crop: center needs a resolution"),
        ({"cache_gib": -1.0}, r"cache_gib must not be negative, not -1\.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataSource.from_dict({"kind": "folder", "path": "x", **fields})


@pytest.mark.parametrize("kind", ["folder", "zip", "webdataset"])
def test_a_process_remembers_few_bytes_of_each_file(tmp_path: Path, kind: str) -> None:
    count, stream = 2000, io.BytesIO()
    Image.fromarray(picture()).save(stream, format="png")
    named = {f"n{i // 100:08d}/n{i // 100:08d}_{i:08d}.png": stream.getvalue() for i in range(count)}
    if kind == "folder":
        for name, content in named.items():
            (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "set" / name).write_bytes(content)
    elif kind == "zip":
        with zipfile.ZipFile(tmp_path / "set", "w") as archive:
            for name, content in named.items():
                archive.writestr(name, content)
    else:
        shard(tmp_path / "set", named | {f"{name.removesuffix('png')}cls": "1" for name in named})
    source = DataSource.from_dict({"kind": kind, "path": str(tmp_path / "set")})
    source.load_images()  # Whatever is remembered once, however many images there are, and the list of the shards.
    gc.collect()
    tracemalloc.start()
    try:
        image_set = source.load_images()
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(image_set) == count
    assert held / count < 60  # 8 of them are the label, and some 10 what there is once
