"""``localfp4 show``: what it says of checkpoints, as text and as JSON."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from localfp4.cli.entry import run_command_line
from localfp4.models.kernel_choice import is_multiplied, kernel_choices
from localfp4.models.report import report

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

TESTS = Path(__file__).parents[1]
CHECKPOINTS = TESTS / "fixtures/checkpoints"
SCHEMA = json.loads((TESTS / "schemas/show.json").read_text(encoding="utf-8"))


def shown(cli: "CommandLine", name: str, *options: str) -> dict[str, Any]:
    done = cli("show", str(CHECKPOINTS / name), "--json", *options)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(found, SCHEMA)
    return found


def test_a_mixture_in_nvfp4(cli: "CommandLine") -> None:
    found = shown(cli, "mo_qwen3_moe_NVFP4_DEFAULT_CFG")
    model = found["model"]
    assert (model["family"], model["weight_format"]) == ("qwen3_moe", "NVFP4 W4A4")
    assert model["layers"] == ["1 x attention (4 heads of 16 over 2) + 4 experts of 32, 2 a token"]
    # Two vectors of 16 for each of two heads: 16 bits each, or 8 bits with a float32 scale.
    assert model["kv_bytes_per_token"] == {"bfloat16": 128, "fp8": 80}
    rows = {row["name"]: row for row in found["rows"]}
    experts = rows["model.layers.*.mlp.experts.*.down_proj"]
    # 64 x 32 codes in half a byte, a scale for each 16 of them, and one for all.
    size = 4 * (64 * 32 // 2 + 64 * 32 // 16 + 4)
    assert (experts["count"], experts["shape"], experts["bytes"]) == (4, [64, 32], size)
    assert rows["lm_head"]["stored_as"] == "BF16"


def test_which_kernels_run_where_and_what_else_is_launched(cli: "CommandLine") -> None:
    found = shown(cli, "mo_qwen3_NVFP4_DEFAULT_CFG", "--kernels")
    rows = found["rows"]
    [down] = [row for row in rows if row["name"].endswith("down_proj")]
    kernels = {(one["card"], one["step"]): one["kernel"] for one in down["kernels"]}
    assert kernels["RTX 40", "1 token"] == "gemv"
    assert [kernels[card, "prefill"] for card in ("RTX 30", "RTX 40", "RTX 50")] == [
        "w4a16",
        "w4a8",
        "w4a4",
    ]
    [embedding] = [row for row in rows if row["name"] == "model.embed_tokens"]
    assert {one["kernel"] for one in embedding["kernels"]} == {"dense"}  # also the output
    operators = found["model"]["operators"]
    assert {"embedding", "rope_write", "decode", "prefill"} <= set(operators["triton"])
    assert "linear" in operators["torch"], "the output projection has 16 bits"
    assert not {"view", "empty"} & set(operators["torch"])


def test_the_precision_that_is_asked_for_counts() -> None:
    [down] = [
        weights
        for weights in report(CHECKPOINTS / "mo_qwen3_NVFP4_DEFAULT_CFG").weights
        if weights.name.endswith("down_proj")
    ]
    kernels = {(one.card, one.kernel) for one in kernel_choices(down, "w4a4")}
    assert ("RTX 50", "w4a4") in kernels
    assert ("RTX 40", "refused") in kernels


def test_what_is_only_looked_up_or_added_is_not_multiplied() -> None:
    weights = {one.name: one for one in report(CHECKPOINTS / "m_gpt_oss").weights}
    experts = "model.layers.*.mlp.experts."
    not_multiplied = {name for name, one in weights.items() if not is_multiplied(one, False)}
    assert not_multiplied == {
        "model.embed_tokens",
        experts + "gate_up_proj_bias",
        experts + "down_proj_bias",
    }
    assert is_multiplied(weights["model.embed_tokens"], True)


@pytest.mark.parametrize(
    ("folder", "weight", "reason"),
    [
        ("ct_MXFP8", "model.layers.*.mlp.down_proj", "MXFP8: no kernel reads it as it is stored"),
        ("mo_gpt_oss_MXFP4", "model.layers.*.mlp.experts.down_proj", "no kernel reads it"),
        ("m_gpt_oss", "model.layers.*.mlp.experts.down_proj", "grouped_matmul"),
        ("m_qwen3", "model.layers.*.mlp.down_proj", "cuBLAS"),
    ],
)
def test_why_products_are_of_16_bits(folder: str, weight: str, reason: str) -> None:
    [one] = [one for one in report(CHECKPOINTS / folder).weights if one.name == weight]
    for choice in kernel_choices(one, "auto"):
        assert choice.kernel == "dense"
        assert reason in " ".join(choice.reasons)


@pytest.mark.parametrize(
    "folder", sorted(CHECKPOINTS.iterdir()), ids=lambda folder: str(folder.name)
)
def test_every_fixture_in_words(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["show", str(folder)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = printed.out.splitlines()
    assert lines[0] == str(folder)
    assert any(line.startswith("  KV cache") for line in lines)
    assert any(line.startswith("model.layers.*.") for line in lines)


def test_what_is_not_on_this_computer_is_not_fetched(cli: "CommandLine") -> None:
    done = cli("show", "org/name")
    assert (done.returncode, done.stdout) == (2, "")
    assert "org/name is not in the local cache, and HF_HUB_OFFLINE" in done.stderr


def test_an_unknown_family_is_one_sentence(cli: "CommandLine", tmp_path: Path) -> None:
    shutil.copytree(CHECKPOINTS / "m_qwen3", tmp_path / "model")
    config = tmp_path / "model/config.json"
    settings = json.loads(config.read_text(encoding="utf-8")) | {"model_type": "\x1b[2Jnew"}
    config.write_text(json.dumps(settings), encoding="utf-8")
    done = cli("show", str(tmp_path / "model"))
    assert done.returncode == 2
    assert "not supported" in done.stderr
    assert "\x1b" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_synthetic_model_is_described_without_any_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command_line(["show", "--synthetic", "qwen3-8b", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, SCHEMA)
    model = found["model"]
    assert (model["name"], model["family"]) == ("synthetic:qwen3-8b", "qwen3")
    assert (model["parameters"], model["weight_format"]) == (8_190_735_360, "NVFP4 W4A4")
    rows = {row["name"]: row for row in found["rows"]}
    assert rows["model.layers.*.mlp.down_proj"]["shape"] == [4096, 12288]
    assert rows["lm_head"]["stored_as"] == "BF16"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--synthetic", "qwen3-8b:99"], "has 36 layers"),
        (["demo", "--synthetic", "qwen3-8b"], "leave one out"),
    ],
)
def test_a_synthetic_model_that_cannot_be_is_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert run_command_line(["show", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
    assert len(captured.err.splitlines()) == 1
