"""The demo as GGUF: the same numbers, and the same answers by llama.cpp."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from localfp4 import LLM
from localfp4.config import SamplingParams

gguf = pytest.importorskip("gguf")

LINEAR = "model.layers.3.mlp.down_proj"
QUESTION = "<|im_start|>user\nWhat is localfp4?<|im_end|>\n<|im_start|>assistant\n"
LENGTH = 24


@pytest.fixture(scope="module")
def written(demo_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import to_gguf

    folder = tmp_path_factory.mktemp("gguf")
    for kind in ("bf16", "nvfp4"):
        to_gguf.write(folder / f"demo-{kind}.gguf", kind)
    return folder


def tensors(file: Path) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}


def test_nvfp4_has_the_values_of_the_checkpoint_that_is_shipped(
    written: Path, demo_assets: Path
) -> None:
    found = tensors(written / "demo-nvfp4.gguf")
    ours = load_file(demo_assets / "localfp4_demo" / "model.safetensors")
    there = found["blk.3.ffn_down.weight"]
    values = torch.from_numpy(gguf.quants.dequantize(there.data, there.tensor_type))
    values *= torch.from_numpy(found["blk.3.ffn_down.scale"].data.copy())
    # By the definition of NVFP4: a code of E2M1 times an E4M3 scale, over the global divisor.
    e2m1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    packed = ours[f"{LINEAR}.weight_packed"]
    codes = torch.stack([packed & 15, packed >> 4], -1).flatten(1).long()
    signed = e2m1[codes & 7] * (1 - 2 * (codes >> 3))
    scale = ours[f"{LINEAR}.weight_scale"].float().repeat_interleave(16, 1)
    expected = signed * scale / ours[f"{LINEAR}.weight_global_scale"]
    torch.testing.assert_close(values, expected, rtol=1e-6, atol=0)
    assert expected.abs().max() > 0.1


def test_bf16_has_every_tensor_of_the_original(written: Path, demo_assets: Path) -> None:
    found = tensors(written / "demo-bf16.gguf")
    original = load_file(demo_assets / "bf16" / "model.safetensors")
    assert len(found) == len(original)
    there = found["blk.0.attn_k.weight"]
    values = torch.from_numpy(gguf.quants.dequantize(there.data, there.tensor_type))
    torch.testing.assert_close(
        values, original["model.layers.0.self_attn.k_proj.weight"].float(), rtol=0, atol=0
    )


@pytest.mark.parity
@pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
@pytest.mark.parametrize(("kind", "model"), [("bf16", "bf16"), ("nvfp4", "localfp4_demo")])
def test_llama_cpp_answers_as_localfp4_does(
    written: Path, demo_assets: Path, kind: str, model: str
) -> None:
    prompt = Tokenizer.from_file(str(demo_assets / model / "tokenizer.json")).encode(QUESTION).ids
    theirs = greedy(written / f"demo-{kind}.gguf", prompt)
    with LLM(str(demo_assets / model), device="cpu", threads=1) as llm:
        (ours,) = llm.generate(
            [{"prompt_token_ids": prompt}],
            SamplingParams(temperature=0, max_tokens=LENGTH, ignore_eos=True),
        )
    assert theirs == ours.token_ids
    assert len(set(theirs)) > LENGTH // 2


def greedy(file: Path, prompt: Sequence[int]) -> list[int]:
    import llama_cpp

    from localfp4.bench.engines.llama_library import Library, Piece

    model = Library(llama_cpp).load(str(file), gpu=None)
    context = model.context(sequences=1, length=256, threads=1)
    tokens, answer, done = list(prompt), list[int](), 0
    while len(answer) < LENGTH:
        answer += context.step([Piece(np.array(tokens, np.int32), done, 0, answers=True)])
        done += len(tokens)
        tokens = answer[-1:]
    context.close()
    model.close()
    return answer


def test_an_unknown_type_is_refused(
    demo_assets: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import to_gguf

    monkeypatch.setattr(sys, "argv", ["to_gguf.py", str(tmp_path), "--types", "bf16,q3"])
    with pytest.raises(SystemExit):
        to_gguf.main()
    assert "not q3." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
