"""A hub on this machine, and downloads from it in processes that see only it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkpoint.fake_hub import FakeHub


@pytest.fixture
def hub(fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """Serve a model whose weights take a second, to child processes with a cache of their own."""
    source = fixtures / "m_qwen3"
    model = {path.name: path.read_bytes() for path in source.iterdir()}
    model["model.safetensors"] += bytes(2**20)
    with FakeHub({"org/model": model}).running() as running:
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("TRANSFORMERS_OFFLINE", "0")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield running
