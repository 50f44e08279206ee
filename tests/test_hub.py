"""What lies on the hub: had at once, or said at once that it cannot be had."""

import logging
import time
from pathlib import Path

import pytest

from curriculum_search.hub import fetched, first_line, is_name
from curriculum_search.models.encoders import VAE
from curriculum_search.text.pretrained import folder_of


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is in the cache, and nobody answers where the hub should be."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for module in ("constants", "hf_api", "file_download"):
        monkeypatch.setattr(f"huggingface_hub.{module}.ENDPOINT", "http://127.0.0.1:9", raising=False)


def test_a_name_has_an_owner_and_is_no_path() -> None:
    assert is_name("stabilityai/sd-vae-ft-ema")
    assert not any(is_name(path) for path in ("vae", "./models/vae", "/models/vae", "a/b/c"))


def test_without_an_answer_one_message_comes_within_seconds(nowhere: None, caplog: pytest.LogCaptureFixture) -> None:
    began = time.monotonic()
    with caplog.at_level(logging.WARNING), pytest.raises(FileNotFoundError) as error:
        VAE(path="nobody/a-vae")._config()
    assert time.monotonic() - began < 10
    assert caplog.records == []
    message = str(error.value)
    assert message.startswith("nobody/a-vae is no folder, and cannot be had from the hub (Got: ConnectError: ")
    assert message.endswith("; give the folder of one that is there")
    with pytest.raises(FileNotFoundError, match=r"^text encoder: nobody/a-clip is no folder, and cannot be had from"):
        folder_of("nobody/a-clip", "text encoder")


def test_what_is_in_the_cache_is_used_without_an_answer(nowhere: None, tmp_path: Path) -> None:
    repository = tmp_path / "models--somebody--network"
    for folder in ("refs", "snapshots/abc"):
        (repository / folder).mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots" / "abc" / "config.json").write_text("{}")
    assert fetched("somebody/network", ("config.json",)) == repository / "snapshots" / "abc"


def test_of_what_an_error_says_the_first_line_is_told() -> None:
    assert first_line(ValueError("\n  one \ntwo")) == "one"
    assert first_line(KeyError()) == "KeyError"
