import gc
import io
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from support.latent_files import COUNT, LABELS, MEAN_STD, edm2_zip, u_vit

from curriculum_search.data.latent_rows import MappedRows, NpyRows, Rows, ZippedRows, load_array

PICKED = np.array([11, 0, 5, 5, 4])


def rows(kind: str, folder: Path) -> Rows:
    if kind == "mapped":
        return MappedRows([MEAN_STD[:5], MEAN_STD[5:6], MEAN_STD[6:]])
    if kind == "files":
        for number, row in enumerate(MEAN_STD):
            np.save(folder / f"{number}.npy", row[None])
        return NpyRows([folder / f"{number}.npy" for number in range(COUNT)])
    path = Path(edm2_zip(folder / "a.zip"))
    with zipfile.ZipFile(path) as archive:
        return ZippedRows(path, [info for info in archive.infolist() if info.filename.endswith(".npy")])


@pytest.mark.parametrize("kind", ["mapped", "files", "zipped"])
def test_rows_are_read_by_their_numbers_from_any_thread(kind: str, tmp_path: Path) -> None:
    found = rows(kind, tmp_path)
    assert (len(found), found.shape) == (COUNT, (4, 4, 4))
    assert found.dtype == np.float32
    with ThreadPoolExecutor(4) as pool:
        for part in pool.map(found.read, [PICKED] * 8):
            np.testing.assert_array_equal(part, MEAN_STD[PICKED])
    np.testing.assert_array_equal(found.read(np.arange(COUNT)), MEAN_STD)


def test_a_member_that_is_compressed_or_of_another_shape_is_named(tmp_path: Path) -> None:
    path = Path(edm2_zip(tmp_path / "packed.zip", compression=zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(path) as archive, pytest.raises(ValueError, match=r"00000000\.npy is compressed; store it"):
        ZippedRows(path, archive.infolist()[:-1])
    np.save(tmp_path / "odd.npy", MEAN_STD[0, :3])
    path = Path(edm2_zip(tmp_path / "odd.zip"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.write(tmp_path / "odd.npy", "odd.npy")
        found = ZippedRows(path, [info for info in archive.infolist() if info.filename.endswith(".npy")])
    with pytest.raises(ValueError, match=r"odd\.npy is not float32 \[4, 4, 4\], as the first one is"):
        found.read(np.array([0, COUNT]))


def test_a_file_of_another_shape_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "0.npy", MEAN_STD[0])
    np.save(tmp_path / "1.npy", MEAN_STD[0, :3])
    found = NpyRows([tmp_path / "0.npy", tmp_path / "1.npy"])
    with pytest.raises(ValueError, match=r"1\.npy: float32 \[3, 4, 4\], while others are float32 \(4, 4, 4\)"):
        found.read(np.array([1]))


def test_objects_are_not_run_and_the_line_that_is_shown_converts_them(tmp_path: Path) -> None:
    import re
    import subprocess
    import sys

    folder = Path(u_vit(tmp_path / "features"))
    with pytest.raises(ValueError, match=r"0\.npy: holds pickled objects, as U-ViT's scripts write them") as error:
        load_array(folder / "0.npy")
    program = re.search(r'python -c "(.*)"\n', str(error.value))
    assert program is not None
    subprocess.run([sys.executable, "-c", program[1]], cwd=folder, check=True, timeout=60)
    np.testing.assert_array_equal(np.load(tmp_path / "latents.npy"), MEAN_STD)
    np.testing.assert_array_equal(np.load(tmp_path / "labels.npy"), LABELS)


def test_few_bytes_are_remembered_of_each_latent_in_an_archive(tmp_path: Path) -> None:
    count, path = 2000, tmp_path / "latents.zip"
    stream = io.BytesIO()
    np.save(stream, np.zeros((2, 1, 1), np.float32))
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(count):
            archive.writestr(f"{i // 1000:05d}/img-mean-std-{i:08d}.npy", stream.getvalue())
    tracemalloc.start()
    try:
        with zipfile.ZipFile(path) as archive:
            found = ZippedRows(path, archive.infolist())
        del archive
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.read(np.array([count - 1])).shape == (1, 2, 1, 1)
    assert held / count < 40
