"""Who of other libraries enters a run: series of what is installed, and rows for what is not.

Imports none of them. All run the same cases with the same threads on the same device.
"""

import importlib.util
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localfp4.bench.engines.contestant import Entrant
from localfp4.bench.engines.gguf_file import GgufHeader, read_header
from localfp4.bench.planning.peer_models import (
    NO_FILES,
    context_of,
    needed_by_llama_cpp,
    needed_by_transformers,
    original_of,
    quant_method,
)
from localfp4.bench.records import Row, Series, Status
from localfp4.bench.workload import Case
from localfp4.checkpoint.display import shown
from localfp4.checkpoint.hub import DEMO, find

_ENGINES = "localfp4.bench.engines"
_PACKAGES = {
    "transformers": "pip install transformers",
    "llama_cpp": "pip install llama-cpp-python",
    "vllm": "pip install vllm (Linux only)",
}
_NAMES = {"transformers": "transformers", "llama_cpp": "llama.cpp", "vllm": "vllm"}

_READ_BY_TRANSFORMERS = ("compressed-tensors", "fp8", "mxfp4", "awq", "gptq", "torchao")
"""Methods of quantised checkpoints that it expands or runs, with packages of their own."""

_BF16, _FLOAT32 = ("bf16", "bfloat16"), ("float32", "float32")


@dataclass(frozen=True, slots=True)
class _Field:
    """Where peers run.

    Attributes:
        model: What the user called it.
        cases: What all run.
        threads: CPU threads.
        device: A torch device string.
    """

    model: str
    cases: tuple[Case, ...]
    threads: int
    device: str

    def entrant(
        self, package: str, form: str, settings: Mapping[str, Any], needed: int | None
    ) -> Entrant:
        """Return a series that runs."""
        where = {"device": self.device, "threads": self.threads}
        series = Series(self.model, form, _NAMES[package])
        loader = f"{_ENGINES}.{package}:load"
        return Entrant(series, loader, {**settings, **where}, self.cases, needed)

    def refused(
        self, package: str, form: str, reason: str, status: Status = "missing"
    ) -> list[Row]:
        """Return rows of a series that does not run."""
        series = Series(self.model, form, _NAMES[package])
        return [Row(series, case, 0, status, reason) for case in self.cases]


def is_installed(package: str) -> bool:
    """Say whether a package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def peer_entrants(
    model: str,
    cases: Sequence[Case],
    *,
    bf16: str | None,
    gguf: Iterable[str],
    threads: int,
    device: str,
    installed: Callable[[str], bool] = is_installed,
) -> tuple[tuple[Entrant, ...], tuple[Row, ...]]:
    """Return which peers enter, and a row for every case of a peer that does not.

    Args:
        model: What the user called the model; it is on this computer.
        cases: What all should run.
        bf16: Its unquantised original, named as models are; ``None`` where it is one itself, or is
            the demo of a checkout, whose original lies beside it.
        gguf: Files for llama.cpp.
        threads: CPU threads that everybody gets.
        device: A torch device string.
        installed: Whether a package is there.

    Raises:
        UserError: A model or a file cannot be found or read, or the original is quantised.
    """
    field = _Field(model, tuple(cases), threads, device)
    source = find(model)
    original = original_of(model, source, bf16)
    itself = source if isinstance(source, Path) and source != original else None
    files = [(file, read_header(Path(file))) for file in gguf]
    entrants: list[Entrant] = []
    refused: list[Row] = []
    for package, (running, rows) in {
        "transformers": _transformers(field, original, itself),
        "llama_cpp": _llama_cpp(field, files),
        "vllm": _vllm(field, original, itself),
    }.items():
        if installed(package):
            entrants += running
            refused += rows
        else:
            reason = f"{_NAMES[package]} is not installed: {_PACKAGES[package]}"
            refused += field.refused(package, "auto", reason)
    return tuple(entrants), tuple(refused)


Found = tuple[list[Entrant], list[Row]]


def _transformers(field: _Field, original: Path | None, itself: Path | None) -> Found:
    if original is not None:
        forms = (_BF16, _FLOAT32) if field.device == "cpu" else (_BF16,)
        return [
            field.entrant(
                "transformers",
                form,
                {"folder": str(original), "dtype": dtype},
                needed_by_transformers(original, dtype, field.cases),
            )
            for form, dtype in forms
        ], []
    if itself is None:
        return [], field.refused("transformers", "auto", NO_FILES, "unsupported")
    method = quant_method(itself)
    if method in _READ_BY_TRANSFORMERS:
        settings = {"folder": str(itself), "dtype": "auto"}
        return [field.entrant("transformers", "auto", settings, None)], []
    reason = (
        f"transformers cannot read checkpoints of {method or 'this kind'}; name the model's "
        "unquantised original with --bf16"
    )
    return [], field.refused("transformers", "bf16", reason)


def _vllm(field: _Field, original: Path | None, itself: Path | None) -> Found:
    folders = [("bf16", original, "bfloat16"), ("auto", itself, "auto")]
    running = []
    for form, folder, dtype in folders:
        if folder is not None:
            settings = {"folder": str(folder), "dtype": dtype, "most": context_of(folder)}
            # It takes a share of a GPU's memory, whatever a case needs.
            running.append(field.entrant("vllm", form, settings | {"cases": field.cases}, None))
    return running, [] if running else field.refused("vllm", "auto", NO_FILES, "unsupported")


def _llama_cpp(field: _Field, files: Sequence[tuple[str, GgufHeader]]) -> Found:
    if not files:
        reason = "llama.cpp reads GGUF; name a file of the model with --gguf"
        if field.model == DEMO:
            reason += "; assets/demo/to_gguf.py of a checkout writes the demo's"
        return [], field.refused("llama_cpp", "auto", reason)
    forms = Counter(header.weight_format.lower() for _, header in files)
    running = []
    for file, header in files:
        form = header.weight_format.lower()
        name = form if forms[form] == 1 else f"{form} {shown(Path(file).stem)}"
        needed = needed_by_llama_cpp(Path(file), header, field.cases)
        running.append(field.entrant("llama_cpp", name, {"file": file}, needed))
    return running, []
