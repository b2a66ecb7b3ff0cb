"""Which other libraries enter a run, and what is said of those that do not."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from localfp4.bench.engines.contestant import Entrant
from localfp4.bench.planning.peer_models import context_of, quant_method
from localfp4.bench.planning.peers import peer_entrants
from localfp4.bench.records import Row
from localfp4.bench.workload import Case
from localfp4.errors import CheckpointError, UserError
from tests.bench.test_gguf_file import ARCHITECTURE, SIZES, gguf, number

CASES = (Case(1, 4, 4), Case(8, 4, 4))
FIXTURES = Path(__file__).parents[1] / "fixtures" / "checkpoints"
PLAIN, PACKED, MODELOPT = (
    str(FIXTURES / name) for name in ("m_qwen3", "ct_qwen3_NVFP4A16", "mo_qwen3_NVFP4_DEFAULT_CFG")
)
ALL = ("transformers", "llama_cpp", "vllm")


def entering(
    model: str, installed: Sequence[str] = ALL, device: str = "cpu", **options: Any
) -> tuple[tuple[Entrant, ...], tuple[Row, ...]]:
    settings = {"bf16": None, "gguf": (), "threads": 2, "device": device} | options
    return peer_entrants(model, CASES, installed=installed.__contains__, **settings)


def forms(found: Sequence[Entrant]) -> list[tuple[str, str]]:
    return [(one.series.engine, one.series.format) for one in found]


def reasons(rows: Sequence[Row]) -> dict[str, str]:
    assert len(rows) == len({(row.series, row.case) for row in rows})
    assert {row.repeat for row in rows} <= {0}
    return {row.series.engine: row.reason for row in rows}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "small.gguf"
    path.write_bytes(gguf(ARCHITECTURE, *SIZES, number("general.file_type", 39)))
    return str(path)


def test_an_unquantised_model_is_its_own_original(file: str) -> None:
    entrants, rows = entering(PLAIN, gguf=[file])
    assert forms(entrants) == [
        ("transformers", "bf16"),
        ("transformers", "float32"),
        ("llama.cpp", "nvfp4"),
        ("vllm", "bf16"),
    ]
    assert rows == ()
    wide, narrow, llama, vllm = entrants
    assert wide.settings == {"folder": PLAIN, "dtype": "bfloat16", "device": "cpu", "threads": 2}
    assert narrow.settings["dtype"] == "float32"
    assert llama.settings == {"file": file, "device": "cpu", "threads": 2}
    assert vllm.settings["cases"] == CASES
    assert vllm.settings["most"] > 0
    assert {one.cases for one in entrants} == {CASES}
    assert {one.series.model for one in entrants} == {PLAIN}
    assert wide.needed_bytes
    assert llama.needed_bytes
    assert vllm.needed_bytes is None


def test_loaders_are_functions_that_take_what_they_are_given(file: str) -> None:
    from importlib import import_module
    from inspect import signature

    entrants, _ = entering(PLAIN, gguf=[file])
    for one in entrants:
        module, _, name = one.loader.partition(":")
        signature(getattr(import_module(module), name)).bind(**one.settings)


def test_the_demo_of_a_checkout_has_its_original_beside_it() -> None:
    entrants, rows = entering("demo")
    assert forms(entrants)[:2] == [("transformers", "bf16"), ("transformers", "float32")]
    assert Path(entrants[0].settings["folder"]).name == "bf16"
    assert "name a file of the model with --gguf" in reasons(rows)["llama.cpp"]
    assert "to_gguf.py" in reasons(rows)["llama.cpp"]


def test_a_gpu_is_not_asked_for_float32() -> None:
    entrants, _ = entering(PLAIN, device="cuda:0", installed=["transformers"])
    assert forms(entrants) == [("transformers", "bf16")]


def test_a_quantised_model_runs_as_each_library_can() -> None:
    entrants, rows = entering(PACKED)
    assert forms(entrants) == [("transformers", "auto"), ("vllm", "auto")]
    entrants, rows = entering(MODELOPT)
    assert forms(entrants) == [("vllm", "auto")]
    assert "name the model's unquantised original with --bf16" in reasons(rows)["transformers"]
    entrants, rows = entering(MODELOPT, bf16=PLAIN)
    assert forms(entrants)[0] == ("transformers", "bf16")
    assert entrants[0].settings["folder"] == PLAIN
    assert [form for form in forms(entrants) if form[0] == "vllm"] == [
        ("vllm", "bf16"),
        ("vllm", "auto"),
    ]


def test_older_exporters_have_another_word_for_how_they_quantised(tmp_path: Path) -> None:
    settings = {"max_position_embeddings": 64, "compression_config": {"quant_method": "old"}}
    (tmp_path / "config.json").write_text(json.dumps(settings), "utf-8")
    assert quant_method(tmp_path) == "old"
    assert context_of(tmp_path) == 64
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {}}), "utf-8")
    assert quant_method(tmp_path) == ""
    assert context_of(tmp_path) is None


def test_what_is_not_installed_is_a_row_of_every_case() -> None:
    entrants, rows = entering(PLAIN, installed=[])
    assert entrants == ()
    assert len(rows) == 3 * len(CASES)
    assert {row.status for row in rows} == {"missing"}
    assert reasons(rows) == {
        "transformers": "transformers is not installed: pip install transformers",
        "llama.cpp": "llama.cpp is not installed: pip install llama-cpp-python",
        "vllm": "vllm is not installed: pip install vllm (Linux only)",
    }


def test_two_files_of_a_format_have_two_names(file: str, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(Path(file).read_bytes())
    entrants, _ = entering(PLAIN, installed=["llama_cpp"], gguf=[file, str(other)])
    assert [one.series.format for one in entrants] == ["nvfp4 small", "nvfp4 other"]


def test_a_synthetic_model_has_no_files() -> None:
    entrants, rows = entering("synthetic:qwen3-8b", installed=["transformers", "vllm"])
    assert entrants == ()
    assert {row.status for row in rows if row.series.engine != "llama.cpp"} == {"unsupported"}


def test_an_original_that_is_quantised_is_refused() -> None:
    with pytest.raises(UserError, match=r"is quantised \(compressed-tensors\); name the original"):
        entering(PACKED, bf16=PACKED)
    with pytest.raises(UserError, match=r"synthetic model has no files"):
        entering(PACKED, bf16="synthetic:qwen3-8b")


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no config\.json that can be read"):
        entering(str(tmp_path))


def test_strange_configs_have_no_known_size(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"d_model": 8}), "utf-8")
    entrants, _ = entering(str(tmp_path), installed=["transformers"])
    assert [one.needed_bytes for one in entrants] == [None, None]


def test_nothing_is_imported_to_find_out() -> None:
    before = set(sys.modules)
    entering(PLAIN)
    assert not {"transformers", "vllm", "llama_cpp"} & (set(sys.modules) - before)
