"""Folders of networks: what is missing is named before anything starts."""

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from support.captioned import save_bert

from curriculum_search.text.pretrained import checksum_of, folder_of, read_network, read_tokeniser


def test_what_is_not_on_disk_is_said_with_the_place_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"encoder: {tmp_path}/none does not exist"):
        folder_of(str(tmp_path / "none"), "encoder")
    with pytest.raises(FileNotFoundError, match=r"has no config\.json"):
        folder_of(str(tmp_path), "encoder")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"has no \*\.safetensors"):
        folder_of(str(tmp_path), "encoder")


def test_a_name_that_cannot_be_fetched_is_one_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="encoder: nobody/nothing is no folder, and cannot be had from the hub"):
        folder_of("nobody/nothing", "encoder")


def test_weights_that_are_missing_are_not_made_up(tmp_path: Path) -> None:
    folder = Path(save_bert(tmp_path / "bert"))
    weights = load_file(folder / "model.safetensors")
    before = checksum_of(folder)
    del weights["encoder.layer.0.attention.self.query.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="lacks 1 of the weights of a BertModel, as encoder"):
        read_network("BertModel", folder, "encoder", add_pooling_layer=False)
    checksum_of.cache_clear()
    assert checksum_of(folder) != before


def test_damaged_files_are_one_message(tmp_path: Path) -> None:
    folder = Path(save_bert(tmp_path / "bert"))
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=f"encoder: {folder} cannot be read"):
        read_network("BertModel", folder, "encoder", add_pooling_layer=False)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match=f"encoder: {folder} cannot be read"):
        read_tokeniser(folder, "encoder")
