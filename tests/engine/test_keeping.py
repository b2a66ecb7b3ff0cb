"""A conversation goes on where it was, though another took the cache or the engine was restarted.

The oracle is an engine whose cache is so large that nothing is ever given away.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from localfp4.config import PAGE_SIZE, EngineConfig
from localfp4.engine.engine import Engine
from localfp4.engine.fingerprint import fingerprint
from localfp4.engine.keeping import make_store
from localfp4.errors import RequestError
from localfp4.models.kv_groups import kv_groups
from localfp4.models.opened import open_model
from localfp4.runner.page_io import PageIo
from localfp4.runner.transfer import Transfer
from tests.engine.traffic import GREEDY, answer, load, random_tokens
from tests.models import tiny

SMALL = 256
"""Tokens that the cache holds: too few for two conversations."""

MODELS = [
    "demo",
    "qwen3_next",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("qwen3_5", "gemma3", "deepseek_v3")),
]
"""Full attention; states beside it; windows; keys without values."""

Folder = Callable[[str], str]


@pytest.fixture(scope="module")
def folder_of(sharp_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root, made = tmp_path_factory.mktemp("kept"), {"sharp": str(sharp_model), "demo": "demo"}

    def folder(name: str) -> str:
        if name not in made:
            torch.manual_seed(0)
            model: Any = tiny.build_from(tiny.complete(tiny.CONFIGS[name] | {"vocab_size": 256}))
            tiny.randomise(model)
            made[name] = str(tiny.save(model, root / name))
        return made[name]

    return folder


def make_engine(model: str, tokens: int = SMALL, **kept: Any) -> Engine:
    """Load a model whose cache holds so many tokens; what is kept beside it is made by hand."""
    config = EngineConfig(
        model, dtype="float32", max_model_len=256, kv_cache_tokens=tokens, threads=1
    )
    engine = load(config)
    if not kept:
        return engine
    loaded, runner = engine._model, engine._model.runner
    checkpoint = open_model(source_of(model)).checkpoint
    pages, store = make_store(
        replace(config, **kept),
        [checkpoint],
        ["float32", "torch"],
        runner.caches,
        len(kv_groups(runner.decoder.spec)),
        runner.device,
        cache_bytes=2**22,
        available_bytes=2**30,
    )
    runner.pages = pages
    return Engine(config, replace(loaded, store=store))


def source_of(model: str) -> Any:
    from localfp4.checkpoint.hub import download

    finding = download(model)
    while True:
        try:
            next(finding)
        except StopIteration as found:
            return found.value


def save(engine: Engine) -> int:
    """Write everything down, as an idle engine does; returns how many writes it took."""
    return sum(1 for _ in iter(engine.save, False))


def turns() -> tuple[list[int], list[int]]:
    """The beginnings of two conversations, either of which takes most of the cache."""
    return random_tokens(1, 180), random_tokens(2, 200)


def talk(engine: Engine, prompt: list[int]) -> tuple[list[int], int]:
    """Return an answer and how many tokens of the prompt did not have to be computed."""
    outcome = answer(engine, prompt, replace(GREEDY, max_tokens=14))
    assert outcome.finished is not None
    store = engine._model.store
    if store is not None:
        store.check()
    return outcome.token_ids, outcome.finished.cached_tokens


@pytest.mark.parametrize("name", MODELS)
def test_another_takes_the_cache_and_the_first_goes_on(folder_of: Folder, name: str) -> None:
    first, other = turns()
    large, small = make_engine(folder_of(name), 4096), make_engine(folder_of(name))
    kept = make_engine(folder_of(name), kv_ram_bytes=2**26)
    cached = {}
    for label, engine in (("large", large), ("small", small), ("kept", kept)):
        reply, nothing = talk(engine, first)
        assert nothing == 0
        engine_other, _ = talk(engine, other)
        next_prompt = [*first, *reply, 7, 8, 9]
        cached[label] = talk(engine, next_prompt), reply, engine_other
    assert cached["kept"] == cached["large"]
    assert cached["kept"][0][1] == (180 + 13) // PAGE_SIZE * PAGE_SIZE
    assert cached["small"][0][1] < cached["kept"][0][1]


@pytest.mark.parametrize("name", MODELS)
def test_a_conversation_outlives_its_engine(folder_of: Folder, name: str, tmp_path: Path) -> None:
    first, other = turns()
    large = make_engine(folder_of(name), 4096)
    reply, _ = talk(large, first)
    talk(large, other)
    next_prompt = [*first, *reply, 7, 8, 9]
    expected = talk(large, next_prompt)

    engine = make_engine(folder_of(name), kv_disk=str(tmp_path))
    assert talk(engine, first)[0] == reply
    assert save(engine) > 0
    assert save(engine) == 0
    talk(engine, other)
    engine.close()
    assert save(engine) == 0
    again = make_engine(folder_of(name), kv_disk=str(tmp_path))
    assert talk(again, next_prompt) == expected
    assert expected[1] > 0


def test_many_conversations_take_turns(folder_of: Folder, tmp_path: Path) -> None:
    """Main memory for one of three; the others are on disk, or computed again."""
    name, beginnings = folder_of("sharp"), [random_tokens(n, 130 + 10 * n) for n in range(3)]
    large = make_engine(name, 8192)
    small = make_engine(name, kv_ram_bytes=2**18, kv_disk=str(tmp_path))
    histories = [list(beginning) for beginning in beginnings]
    reused = 0
    for turn in range(2):
        for history in histories:
            expected, _ = talk(large, history)
            got, cached = talk(small, history)
            assert got == expected
            reused += cached if turn else 0
            history += [*expected[:9], turn]
            save(small)
    assert reused >= 3 * 2 * PAGE_SIZE


def test_damaged_files_are_computed_again(
    folder_of: Folder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = turns()
    engine = make_engine(folder_of("sharp"), kv_disk=str(tmp_path))
    reply = talk(engine, first)
    save(engine)
    for path in sorted(tmp_path.rglob("*.kv"))[1:]:
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with caplog.at_level(logging.WARNING):
        again = talk(make_engine(folder_of("sharp"), kv_disk=str(tmp_path)), first)
    assert again[0] == reply[0]
    assert again[1] <= PAGE_SIZE
    assert "is ignored" in caplog.text


def test_pages_of_other_weights_or_settings_are_not_found(
    folder_of: Folder, tmp_path: Path
) -> None:
    source = Path(folder_of("sharp"))
    checkpoint = open_model(source_of(str(source))).checkpoint
    [weights] = {tensor.file for tensor in checkpoint.tensors.values()}
    moved = tmp_path / "model"
    moved.mkdir()
    for path in source.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    copy = open_model(source_of(str(moved))).checkpoint
    settings = ["float32", "torch"]
    assert fingerprint([checkpoint], settings) == fingerprint([checkpoint], settings)
    different = {
        fingerprint([checkpoint], settings),
        fingerprint([checkpoint], ["bfloat16", "torch"]),
        fingerprint([checkpoint, checkpoint], settings),
        fingerprint([copy], settings),  # whose files are younger
        fingerprint([replace(checkpoint, config={**checkpoint.config, "rope_theta": 1})], settings),
    }
    assert len(different) == 5
    weights_copy = moved / weights.name
    weights_copy.write_bytes(weights.read_bytes() + b"!")
    assert fingerprint([copy], settings) not in different


def test_copies_that_fail_leave_nothing_wrong_behind(
    folder_of: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = turns()
    engine = make_engine(folder_of("qwen3_next"), kv_ram_bytes=2**26)
    reply, _ = talk(engine, first)
    talk(engine, other)
    move = PageIo.move
    prompt = [*first, *reply, 7]
    expected, _ = talk(make_engine(folder_of("qwen3_next"), 4096), prompt)

    def fail(self: PageIo, transfers: Sequence[Transfer]) -> None:
        move(self, transfers[: len(transfers) // 2])
        raise torch.OutOfMemoryError("half of the copies were made")

    monkeypatch.setattr(PageIo, "move", fail)
    assert answer(engine, prompt).failed is not None
    monkeypatch.undo()
    assert talk(engine, prompt) == (expected, 0)
    assert talk(engine, prompt)[0] == expected


def test_a_broken_device_does_not_hide_why_an_engine_is_closed(
    folder_of: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(folder_of("sharp"), kv_disk=str(tmp_path))
    talk(engine, turns()[0])
    monkeypatch.setattr(PageIo, "move", lambda self, transfers: 1 / 0)
    engine.close()
    assert not list(tmp_path.rglob("*.kv"))


def test_more_memory_than_there_is_is_refused(folder_of: Folder) -> None:
    with pytest.raises(RequestError, match=r"2\.0 GiB of main memory .* 1\.0 GiB are free"):
        make_engine(folder_of("sharp"), kv_ram_bytes=2**31)


@pytest.mark.parametrize("options", [{"kv_ram_bytes": 0}, {"kv_ram_bytes": None}])
def test_a_cpu_keeps_nothing_unasked(folder_of: Folder, options: dict[str, Any]) -> None:
    assert make_engine(folder_of("sharp"), **options)._model.store is None
