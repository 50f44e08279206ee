"""A run's checkpoints on its way from node to node, each of which has a folder of its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support.s3_server import S3Server

from curriculum_search.storage import shared_run


@contextmanager
def node(folder: Path, address: str, rank: int = 0, tidy: Callable[[], None] = lambda: None) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    with shared_run(
        address,
        folder,
        rank=rank,
        world_size=2,
        is_workers=lambda name: name.endswith(".pt"),
        tidy=tidy,
        tell=lambda words: None,
    ):
        yield


def test_a_run_that_moves_to_another_node_and_back_goes_on_from_the_last_checkpoint(
    s3: S3Server, tmp_path: Path
) -> None:
    address, a, b = s3.uri("run/moves"), tmp_path / "a", tmp_path / "b"
    with suppress(RuntimeError), node(a, address):
        (a / "checkpoint.pt").write_text("1")
        (a / "log.jsonl").write_text("the command's")
        raise RuntimeError("asked to leave")
    assert s3.names("run/moves") == {"checkpoint.pt"}
    with node(b, address):
        assert (b / "checkpoint.pt").read_text() == "1"
        (b / "checkpoint.pt").rename(b / "checkpoint.before.pt")
        (b / "checkpoint.pt").write_text("2, longer, for S3 tells times to the second")
    with node(a, address, tidy=lambda: (a / "checkpoint.before.pt").unlink()):
        assert (a / "checkpoint.pt").read_text().startswith("2")
        assert (a / "checkpoint.before.pt").read_text() == "1"
    assert s3.names("run/moves") == {"checkpoint.pt"}  # of a run that has come to its end


def test_what_a_node_could_not_copy_is_not_lost_there(s3: S3Server, tmp_path: Path) -> None:
    address = s3.uri("run/late")
    with node(tmp_path, address):
        (tmp_path / "checkpoint.pt").write_text("1")
    (tmp_path / "checkpoint.pt").write_text("2, while the storage did not answer")
    with node(tmp_path, address):
        assert (tmp_path / "checkpoint.pt").read_text().startswith("2")
    assert s3.read("run/late/checkpoint.pt").startswith("2")


def test_each_worker_of_a_run_copies_its_own_files(s3: S3Server, tmp_path: Path) -> None:
    address = s3.uri("run/workers")
    with node(tmp_path, address, rank=1):
        (tmp_path / "checkpoint.pt").write_text("the first worker's")
        (tmp_path / "evaluation-0.pt").write_text("too")
        (tmp_path / "checkpoint.7.part-2-of-4.pt").write_text("too, for there are two now")
        mine = {"evaluation-1.pt", "checkpoint.7.part-1-of-4.pt", "checkpoint.7.part-3-of-4.pt"}
        for name in mine:
            (tmp_path / name).write_text("mine")
    assert s3.names("run/workers") == mine
    with node(tmp_path, address):
        pass
    assert s3.names("run/workers") == mine | {"checkpoint.pt", "evaluation-0.pt", "checkpoint.7.part-2-of-4.pt"}


def test_a_run_on_storage_that_all_nodes_see_needs_no_bucket(tmp_path: Path) -> None:
    with node(tmp_path, ""):
        (tmp_path / "checkpoint.pt").write_text("1")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
