"""Synthetic models of every family, made narrow to fit a test."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from localfp4.checkpoint.synthetic.catalogue import CATALOGUE

WIDTHS = {
    "hidden_size": 128,
    "intermediate_size": 192,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "moe_intermediate_size": 64,
    "num_experts": 8,
    "num_local_experts": 8,
    "shared_expert_intermediate_size": 64,
    "vocab_size": 512,
}


def make_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the catalogue."""
    small = {name: replace(p, config=_narrowed(p.config)) for name, p in CATALOGUE.items()}
    monkeypatch.setattr("localfp4.checkpoint.synthetic.model.CATALOGUE", small)


def _narrowed(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _narrowed(value) if name == "text_config" else WIDTHS.get(name, value)
        for name, value in config.items()
    }
