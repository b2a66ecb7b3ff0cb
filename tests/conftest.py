"""What every test may rely on: no network, no files in the user's folders, few threads."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from safetensors.torch import save_file

# Read when the libraries are imported, so set before any test module is.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
if not torch.cuda.is_available():
    # triton.jit reads this when it decorates: setting it after the kernels' import fails.
    os.environ["TRITON_INTERPRET"] = "1"

# Models of tests are so small that a second thread costs more than it brings.
torch.set_num_threads(1)

# Timings of shared CI machines say nothing, and first examples import large libraries.
hypothesis.settings.register_profile("localfp4", deadline=None)
hypothesis.settings.load_profile("localfp4")

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of tiny checkpoints, one folder each."""
    return Path(__file__).parent / "fixtures" / "checkpoints"


@pytest.fixture(scope="session")
def sharp_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny float32 Qwen3 that talks: its answers vary, it has a tokenizer and a template.

    Its weights are an order of magnitude larger than a fresh model's, so that each token decides
    what follows: a wrong page, position or mask changes the answer.
    """
    folder = tmp_path_factory.mktemp("sharp")
    _save_sharp_weights(folder)
    _save_byte_tokenizer(folder)
    return folder


def _save_sharp_weights(folder: Path) -> None:
    # Written by hand: importing transformers would take longer than the tests that need this.
    vocab, hidden, inner, heads, kv_heads, head_dim, layers = 272, 48, 64, 4, 2, 16, 2
    shapes = {"model.embed_tokens": (vocab, hidden), "model.norm": (hidden,)}
    for layer in range(layers):
        parts = {
            "input_layernorm": (hidden,),
            "post_attention_layernorm": (hidden,),
            "self_attn.q_norm": (head_dim,),
            "self_attn.k_norm": (head_dim,),
            "self_attn.q_proj": (heads * head_dim, hidden),
            "self_attn.k_proj": (kv_heads * head_dim, hidden),
            "self_attn.v_proj": (kv_heads * head_dim, hidden),
            "self_attn.o_proj": (hidden, heads * head_dim),
            "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden),
            "mlp.down_proj": (hidden, inner),
        }
        shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in parts.items()}
    shapes["lm_head"] = (vocab, hidden)
    random = torch.Generator().manual_seed(5)
    save_file(
        {
            f"{name}.weight": torch.randn(shape, generator=random) * 0.3 + (len(shape) == 1)
            for name, shape in shapes.items()
        },
        folder / "model.safetensors",
    )
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "hidden_act": "silu",
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "max_position_embeddings": 1024,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "eos_token_id": 257,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    defaults = json.dumps({"do_sample": False, "eos_token_id": 257})
    (folder / "generation_config.json").write_text(defaults, encoding="utf-8")


def _save_byte_tokenizer(folder: Path) -> None:
    import tokenizers

    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocab = {character: index for index, character in enumerate(alphabet)}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, []))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    backend.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        encoding="utf-8",
    )


@pytest.fixture(scope="session")
def demo_folder() -> Path:
    """The bundled model's checkpoint."""
    return Path(__file__).parents[1] / "assets" / "demo" / "localfp4_demo"


@pytest.fixture(scope="session", autouse=True)
def _own_user_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Histories, logs and caches of tests, and of programs they start, go to a temporary folder."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("DATA", "STATE", "CACHE", "CONFIG"):
            patch.setenv(f"XDG_{kind}_HOME", str(home / kind.lower()))
        patch.setenv("WIN_PD_OVERRIDE_LOCAL_APPDATA", str(home))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Refuse connections that leave this machine, whichever library tries."""
    connect = socket.socket.connect

    def connect_locally(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in _LOOPBACK:
            raise OSError(f"a test tried to reach {address[0]}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_locally)
        yield
