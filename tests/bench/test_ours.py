"""This engine as a contestant, with real models on the CPU."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localfp4 import __version__
from localfp4.bench.engines.contestant import CaseFailedError
from localfp4.bench.engines.ours import Ours, load
from localfp4.bench.figures import figures
from localfp4.bench.workload import Case
from localfp4.config import EngineConfig
from localfp4.engine.engine import Engine
from localfp4.messages import LoadProgress
from localfp4.models.size import weight_sizes
from localfp4.models.traffic import shared_bytes


def loaded(model: Path, *cases: Case, **settings: Any) -> Ours:
    found: list[Any] = []

    def followed() -> Iterator[LoadProgress]:
        config = EngineConfig(str(model), device="cpu", threads=1)
        found.append((yield from load(config, cases, **settings)))

    list(followed())
    (contestant,) = found
    assert isinstance(contestant, Ours)
    return contestant


@pytest.mark.parametrize("run_ahead", [False, True])
@pytest.mark.parametrize("model", ["m_qwen3", "m_gpt_oss"])
def test_room_for_a_case_is_room_for_its_whole_batch_at_once(
    fixtures: Path, model: str, run_ahead: bool
) -> None:
    """One that had to wait for another would bring its tokens at moments of its own."""
    cases = Case(4, 60, 5), Case(3, 64, 65), Case(8, 1, 3), Case(2, 7, 6, depth=64)
    with closing(loaded(fixtures / model, *cases)) as contestant:
        contestant.engine = Engine(contestant.config, contestant.model, run_ahead=run_ahead)
        for repeat, case in enumerate(cases * 2):
            measured = contestant.run(case, str(repeat))
            moments = {moment for one in measured.arrivals.values() for moment in one}
            assert len(moments) == case.output_tokens
            assert measured.prompt_tokens == case.batch * case.input_tokens


def test_it_tells_what_it_is_and_what_was_said_of_its_format(fixtures: Path) -> None:
    case = Case(1, 4, 2)
    runs, note = "w4a16, since there is no card", "Something is different."
    with closing(loaded(fixtures / "m_qwen3", case, runs=runs, note=note)) as contestant:
        about = contestant.about
    assert (about.version, about.family, about.device) == (__version__, "qwen3", "cpu")
    assert about.runs == runs
    assert about.notes[0] == note
    assert about.revision == ""
    assert about.vocab_size > 0
    contestant.close()  # again


def test_a_snapshot_of_the_hub_names_its_commit(fixtures: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--org--name" / "snapshots" / "0123abc"
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(fixtures / "m_qwen3", target_is_directory=True)
    with closing(loaded(snapshot, Case(1, 4, 2))) as contestant:
        assert contestant.about.revision == "0123abc"


def test_a_run_brings_its_memory_and_what_cannot_run_leaves_it_ready(fixtures: Path) -> None:
    case = Case(2, 9, 4)
    with closing(loaded(fixtures / "m_qwen3", case)) as contestant:
        measured = contestant.run(case, "7 x")
        found = figures(measured)
        assert measured.memory_bytes
        assert measured.peak_memory_bytes
        assert measured.peak_memory_bytes >= 0.9 * measured.memory_bytes
        assert found.seconds > 0
        work = contestant.work(case)
        assert work.decode_peak == work.prefill_peak == "float32"
        with pytest.raises(CaseFailedError, match="exceed the context of 13") as caught:
            contestant.run(Case(1, 99, 4), "7 y")
        assert caught.value.status == "does_not_fit"
        contestant.run(case, "7 z")


def test_what_it_takes_is_counted_as_if_all_lay_on_the_device(fixtures: Path) -> None:
    """Experts in main memory lie on the card as well, some of them; a step reads each once."""
    case = Case(1, 4, 2)
    with closing(loaded(fixtures / "m_qwen3_moe", case)) as contestant:
        sizes = contestant.model.sizes
        assert contestant.work(case).decode_shared_bytes == shared_bytes(sizes)
        decoder = contestant.model.runner.decoder
        elsewhere = replace(decoder, embedding=decoder.embedding.to("meta"))
        assert weight_sizes(elsewhere).rest < 0 < sizes.rest
