"""The same model in transformers, with its own linears or those of others; whatever is installed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

_GROUP = 128
_HEAD = "lm_head"
"""Stays in bfloat16, as in the checkpoints that are compared with."""


@dataclass(frozen=True)
class Peer:
    """A model of transformers with random weights.

    Attributes:
        model: It.
        device: Where it is.
    """

    model: nn.Module
    device: torch.device

    def seconds(self, batch: int, prompt: int, answer: int) -> float:
        """Generate greedily from random prompts, and return how long that took."""
        model: Any = self.model
        size = (batch, prompt)
        ids = torch.randint(model.config.vocab_size, size, device=self.device)
        self._wait()
        started = time.perf_counter()
        with torch.inference_mode():
            made = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=answer,
                min_new_tokens=answer,
                pad_token_id=0,
            )
        self._wait()
        if made.shape[1] != prompt + answer:
            raise RuntimeError(f"made {made.shape[1] - prompt} tokens instead of {answer}")
        return time.perf_counter() - started

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def transformers_bf16(config: Mapping[str, Any], device: torch.device) -> Peer:
    """Build it as it is, in bfloat16."""
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    text = config.get("text_config", config)
    settings = {name: value for name, value in text.items() if name != "quantization_config"}
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(
            CONFIG_MAPPING[settings["model_type"]](**settings), dtype=torch.bfloat16
        )
    return Peer(model.eval(), device)


def torchao_int4(config: Mapping[str, Any], device: torch.device) -> Peer:
    """Build it with torchao's weight-only INT4 in every layer."""
    from torchao.quantization import Int4WeightOnlyConfig, quantize_

    peer = transformers_bf16(config, device)
    quantize_(
        peer.model,
        Int4WeightOnlyConfig(group_size=_GROUP),
        filter_fn=lambda module, name: isinstance(module, nn.Linear) and name != _HEAD,
    )
    return peer


def gemlite_mxfp4(config: Mapping[str, Any], device: torch.device) -> Peer:
    """Build it with gemlite's MXFP4 weights and 16-bit activations in every layer."""
    import gemlite.helper

    peer = transformers_bf16(config, device)
    quantizer = gemlite.helper.A16W4_MXFP(device=str(device), dtype=torch.bfloat16)
    for name, module in list(peer.model.named_modules()):
        if isinstance(module, nn.Linear) and name != _HEAD:
            peer.model.set_submodule(name, quantizer.from_linear(module))
    return peer


PEERS = {
    "transformers bf16": transformers_bf16,
    "transformers + torchao INT4": torchao_int4,
    "transformers + gemlite MXFP4": gemlite_mxfp4,
}
