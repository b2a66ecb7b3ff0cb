"""The residual stream of kernels against the same blocks in plain torch."""

import pytest
import torch

from localfp4.models.execution import TORCH, Execution
from localfp4.models.norm import Norm
from localfp4.models.stream import KernelStream, Stream, open_stream
from localfp4.models.tokens import Tokens, rows_of
from localfp4_kernels.device import target_of
from localfp4_kernels.dispatch import Phase
from localfp4_kernels.linear.source import Rows

pytestmark = pytest.mark.parity if not torch.cuda.is_available() else pytest.mark.gpu

DEVICE = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
KERNELS = Execution(target_of(DEVICE))
WIDTH = 48


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator).to(DEVICE)


def norm(seed: int, eps: float = 1e-5) -> Norm:
    return Norm(random(WIDTH, seed=seed), eps)


def both(rows: int = 3, decodes: int = 1) -> tuple[Stream, Stream]:
    x = random(rows, WIDTH)
    return open_stream(x.clone(), decodes, KERNELS), open_stream(x, decodes, TORCH)


def same(first: Stream, second: Stream, norm: Norm | None) -> None:
    torch.testing.assert_close(
        rows_of(first.read(norm)), rows_of(second.read(norm)), rtol=1e-5, atol=1e-5
    )


def test_blocks_of_every_kind() -> None:
    """What Llama, Gemma 4, Granite and OLMo do with what a block computed."""
    streams = both()
    for stream in streams:
        stream.add(random(3, WIDTH, seed=1), None)
    same(*streams, norm(2))
    for stream in streams:
        stream.add(random(3, WIDTH, seed=3), norm(4), 0.25)
        stream.multiply(torch.tensor([0.5], device=DEVICE))
    same(*streams, norm(5))
    for stream in streams:
        stream.add(random(3, WIDTH, seed=6), norm(7))
    same(*streams, None)
    same(*streams, norm(8))


def test_nothing_is_lost_where_nobody_reads() -> None:
    streams = both()
    for stream in streams:
        stream.read(norm(1))
        stream.add(random(3, WIDTH, seed=1), None)
        stream.add(random(3, WIDTH, seed=2), None)
        stream.read(norm(2))
        stream.multiply(torch.tensor([2.0], device=DEVICE))
    same(*streams, None)


def test_norms_of_different_eps() -> None:
    streams = both()
    for stream in streams:
        stream.add(random(3, WIDTH, seed=1) * 1e-2, norm(2, eps=1e-1))
    same(*streams, norm(3, eps=1e-6))


def test_several_readers_add_once() -> None:
    stream, plain = both()
    for one in (stream, plain):
        one.add(random(3, WIDTH, seed=1), None)
    tokens, wanted = stream.read(norm(2)), rows_of(plain.read(norm(2)))
    assert isinstance(tokens, Tokens)
    first = [tokens.then(source) for _, _, source in tokens.phases()]
    torch.testing.assert_close(torch.cat([part.rows for part in first]), wanted)
    torch.testing.assert_close(tokens.rows, wanted)
    assert tokens.rows is tokens.rows
    same(stream, plain, None)


def test_phases_are_apart() -> None:
    x = random(5, WIDTH)
    target = KERNELS.running
    for decodes, expected in (
        (0, [(Phase.PREFILL, 5)]),
        (2, [(Phase.DECODE, 2), (Phase.PREFILL, 3)]),
        (5, [(Phase.DECODE, 5)]),
    ):
        phases = list(Tokens(Rows(x), decodes, target).phases())
        assert [(phase, len(source.x)) for phase, _, source in phases] == expected


def test_the_stream_is_updated_in_place() -> None:
    stream, _ = both()
    assert isinstance(stream, KernelStream)
    memory = stream.x.data_ptr()
    stream.add(random(3, WIDTH, seed=1), None)
    rows_of(stream.read(norm(2)))
    stream.add(random(3, WIDTH, seed=3), None)
    rows_of(stream.read(None))
    assert stream.x.data_ptr() == memory
