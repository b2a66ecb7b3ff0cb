"""What an outline says of the order of tensors is the order in which loading asks for them."""

from pathlib import Path

import pytest
import torch

from localfp4.checkpoint.index import open_checkpoint
from localfp4.checkpoint.reader import TensorReader
from localfp4.models.execution import Execution
from localfp4.models.families import decoder_spec
from localfp4.models.load import load_decoder, outline
from localfp4_kernels.target import Target

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "name",
    [
        "m_qwen3",
        "mo_qwen3_NVFP4_DEFAULT_CFG",
        "ct_qwen3_moe_NVFP4",
        "mo_qwen3_moe_NVFP4_DEFAULT_CFG",
        "m_qwen3_moe",
    ],
)
def test_tensors_are_asked_for_in_the_order_of_the_outline(
    fixtures: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:

    checkpoint = open_checkpoint(fixtures / name)
    spec, execution = decoder_spec(dict(checkpoint.config)), Execution(Target(89, 128))
    order = outline(checkpoint, spec, torch.float16, execution).order
    assert len(order) > 10

    asked: list[str] = []
    ahead: list[bool] = []
    read = TensorReader.read

    def spy(self: TensorReader, tensor: str) -> torch.Tensor:
        asked.append(tensor)
        assert self._ahead is not None
        ahead.append(tensor in self._ahead._begun)
        return read(self, tensor)

    monkeypatch.setattr(TensorReader, "read", spy)
    for _ in load_decoder(checkpoint, spec, torch.float16, CPU, execution, order=order):
        pass
    assert tuple(asked) == order
    assert all(ahead)
