"""What importing may cost: import-linter sees the direct imports, these tests the whole way."""

import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import localfp4.cli
from localfp4.cli.entry import COMMANDS

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "triton", "textual", "rich", "transformers", "lm_eval", "datasets"}


def torch_free_modules() -> list[str]:
    """The modules that the contract of that name in pyproject.toml lists."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (modules,) = [c["source_modules"] for c in contracts if "torch-free" in c["name"]]
    return [*modules]


def command_line_modules() -> list[str]:
    """Those that several commands share, those of commands, and what serves."""
    shared = [f"localfp4.cli.{one.name}" for one in pkgutil.iter_modules(localfp4.cli.__path__)]
    commands = {command.target.partition(":")[0] for command in COMMANDS.values()}
    return [*shared, *sorted(commands), "localfp4.cli.serve.go", "localfp4.cli.serve.hand_over"]


def heavy_after(code: str) -> set[str]:
    """Run code in a fresh interpreter and return which heavy packages it loaded."""
    report = f"{code}\nimport sys; print('loaded:', *{HEAVY!r}.intersection(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", report], check=True, capture_output=True, text=True
    )
    return set(done.stdout.rpartition("loaded:")[2].split())


@pytest.mark.parametrize(
    "module",
    ["localfp4", "localfp4_kernels", "localfp4.telemetry.environment", *torch_free_modules()],
)
def test_catalog_modules_without_torch(module: str) -> None:
    assert heavy_after(f"import {module}") == set()


def test_command_line_modules_without_torch_or_a_screen() -> None:
    code = f"""
import importlib, sys
for module in {command_line_modules()!r}:
    importlib.import_module(module)
    assert not {HEAVY!r}.intersection(sys.modules), module
"""
    assert heavy_after(code) == set()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["chat", "--help"], ["run", "--help"], ["bench", "-h"]]
)
def test_help_and_version_load_nothing_heavy(arguments: list[str]) -> None:
    code = f"from localfp4.cli.entry import run_command_line\nrun_command_line({arguments!r})"
    assert heavy_after(code) == set()


@pytest.mark.parametrize("name", ["LLM", "SamplingParams", "Completion"])
def test_the_package_offers_its_names_lazily(name: str) -> None:
    assert name in localfp4.__all__
    assert getattr(localfp4, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = localfp4.nonsense


def test_the_cpu_path_runs_where_triton_cannot_be_imported() -> None:
    """A broken Triton is common on Windows; whoever computes on the CPU never needs it."""
    code = """
import sys
sys.modules["triton"] = None
from localfp4 import LLM, SamplingParams
for kernels in ("auto", "emulated"):
    with LLM("demo", device="cpu", max_model_len=128, kernels=kernels) as llm:
        print(len(llm.generate("One", SamplingParams(max_tokens=3, ignore_eos=True))[0].token_ids))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["3", "3"]
