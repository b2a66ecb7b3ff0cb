"""vLLM's argument parser as its source has it, rebuilt from recorded facts.

``vllm_0_33_0.json`` holds the flags of vLLM 0.33.0 with the types of their fields, and the names that
some of them take, read from the files that it lists in the wheel of that version.
"""

import argparse
import json
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

FACTS = json.loads(Path(__file__).with_name("vllm_0_33_0.json").read_text(encoding="utf-8"))

_CHOICES = {
    "--dtype": "dtypes",
    "--kv-cache-dtype": "kv_cache_dtypes",
    "--tool-call-parser": "tool_parsers",
    "--reasoning-parser": "reasoning_parsers",
    "--distributed-executor-backend": "executors",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def parse(command: list[str]) -> dict[str, Any]:
    """Return what vLLM makes of a command; only what was given.

    Raises:
        ValueError: It does not understand it.
    """
    assert command[:2] == ["vllm", "serve"]
    return vars(_parser().parse_args(command[2:]))


@cache
def _parser() -> _Parser:
    parser = _Parser(allow_abbrev=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("model_tag")
    for flag, kind in FACTS["flags"].items():
        parser.add_argument(flag, **_settings(flag, kind))
    return parser


def _settings(flag: str, kind: str) -> dict[str, Any]:
    """Return the keyword arguments of a flag, by the rules of vLLM's ``get_kwargs``."""
    if flag in _CHOICES:
        return {"choices": FACTS[_CHOICES[flag]]}
    if "bool" in kind:
        return {"action": argparse.BooleanOptionalAction}
    if "dict" in kind or flag == "--allowed-origins":
        return {"type": json.loads}
    if flag == "--device-ids":
        return {"type": lambda text: [int(one) for one in text.split(",")]}
    if "list[" in kind:
        return {"nargs": "+"}
    if kind.startswith("int"):
        return {"type": int}
    return {"type": float} if kind.startswith("float") else {}
