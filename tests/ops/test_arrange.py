"""Words and planes hold every element, exactly, where the matrix kernels look for it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4_kernels.linear.activation import Planes, Words
from localfp4_kernels.linear.arrange import (
    ToRows,
    arrange_planes,
    arrange_planes_torch,
    arrange_words,
    arrange_words_torch,
)
from localfp4_kernels.linear.produce import produce
from localfp4_kernels.linear.source import Rows
from localfp4_kernels.target import Target

NATURAL = [(2 * word, 2 * word + 1) for word in range(8)]
BYTES = [(0, 2), (4, 6), (1, 3), (5, 7), (8, 10), (12, 14), (9, 11), (13, 15)]


def halves_of(words: Words) -> torch.Tensor:
    """Return what words hold in natural order, float64 ``[T, K]``."""
    tokens, width = words.shape
    raw = words.data.cpu().long() & 0xFFFFFFFF
    x = torch.empty(tokens, width // 16, 16, dtype=torch.float64)
    for word, (low, high) in enumerate(NATURAL if words.natural else BYTES):
        for element, bits in ((low, raw[:, word] & 0xFFFF), (high, raw[:, word] >> 16)):
            signed = torch.where(bits < 0x8000, bits, bits - 0x10000).to(torch.int16)
            x[..., element] = signed.view(torch.float16).double()
    return x.flatten(1)


def halves_of_planes(planes: Planes) -> torch.Tensor:
    """Return what planes hold in natural order, float64 ``[T, K]``."""
    return planes.data.cpu().double().transpose(1, 2).flatten(1)


def tokens_of(tokens: int, width: int, dtype: torch.dtype, seed: int) -> torch.Tensor:
    """Return rows that differ in magnitude, elements of 11 significant bits."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(tokens, width, generator=generator).half().float()
    return (rows * 2.0 ** torch.randint(-3, 4, (tokens, 1), generator=generator)).to(dtype)


@given(
    tokens=st.integers(1, 3),
    groups=st.integers(1, 21),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
    natural=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=15, deadline=None)
def test_words_hold_every_element_exactly(
    tokens: int,
    groups: int,
    dtype: torch.dtype,
    natural: bool,
    seed: int,
    device: torch.device,
    target: Target,
) -> None:
    x = tokens_of(tokens, 16 * groups, dtype, seed)
    words = arrange_words(x.to(device), natural=natural, target=target)
    assert words.natural == natural
    halves, scale = halves_of(words), words.scale.cpu().double()
    assert torch.equal(halves * scale.unsqueeze(1), x.double())
    top = halves.abs().amax(1)
    assert ((top >= 2**9) & (top < 2**10)).all()
    assert (torch.frexp(scale).mantissa == 0.5).all(), "scales are powers of two"
    reference = arrange_words_torch(x, natural=natural)
    assert torch.equal(words.data.cpu(), reference.data)
    assert torch.equal(words.scale.cpu(), reference.scale)


@given(
    tokens=st.integers(1, 3),
    pairs=st.integers(1, 150),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
    seed=st.integers(0, 99),
)
@settings(max_examples=15, deadline=None)
def test_planes_hold_every_element_exactly(
    tokens: int, pairs: int, dtype: torch.dtype, seed: int, device: torch.device, target: Target
) -> None:
    x = tokens_of(tokens, 2 * pairs, dtype, seed)
    planes = arrange_planes(x.to(device), target=target)
    assert torch.equal(
        halves_of_planes(planes) * planes.scale.cpu().double().unsqueeze(1), x.double()
    )
    reference = arrange_planes_torch(x)
    assert torch.equal(planes.data.cpu(), reference.data)
    assert torch.equal(planes.scale.cpu(), reference.scale)


@pytest.mark.parametrize("top", [0.0, 2.0**-133, 2.0**-118, 2.0**-117, 1.0, 1e30, 3e38])
def test_no_magnitude_overflows_or_vanishes(
    top: float, device: torch.device, target: Target
) -> None:
    x = (torch.tensor([1.0, -0.5, 0.25, 0.0] * 12) * top).bfloat16().float().unsqueeze(0)
    planes = arrange_planes(x.to(device), target=target)
    assert planes.data.isfinite().all()
    assert planes.scale.item() >= torch.finfo(torch.float32).tiny
    if top == 0 or top >= 2.0**-118:
        restored = halves_of_planes(planes) * planes.scale.cpu().double()
        assert torch.equal(restored, x.double())
    reference = arrange_planes_torch(x)
    assert torch.equal(planes.data.cpu(), reference.data)
    assert torch.equal(planes.scale.cpu(), reference.scale)


def test_bfloat16_is_exact_down_to_a_66_millionth_of_the_amax(
    device: torch.device, target: Target
) -> None:
    x = 2.0 ** -torch.arange(32.0) * (1 + 127 / 128)
    planes = arrange_planes(x.bfloat16().unsqueeze(0).to(device), target=target)
    restored = (halves_of_planes(planes) * planes.scale.cpu().double()).squeeze()
    exact = restored == x.double()
    assert exact[:27].all()
    assert not exact[27:].any(), "the bound in the documentation is tight"


@pytest.mark.parametrize("width", [48, 160])
def test_neighbouring_tokens_do_not_leak(width: int, device: torch.device, target: Target) -> None:
    x = tokens_of(3, width, torch.float32, 1)
    alone = arrange_words(x[1:2].clone().to(device), natural=False, target=target)
    x[0], x[2] = torch.nan, torch.nan
    among = arrange_words(x.to(device), natural=False, target=target)
    assert torch.equal(among.data[1:2], alone.data)
    assert torch.equal(among.scale[1:2], alone.scale)


def test_no_tokens(device: torch.device, target: Target) -> None:
    words = arrange_words(torch.empty(0, 32, device=device), natural=True, target=target)
    assert words.shape == (0, 32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_rows_are_converted(dtype: torch.dtype, device: torch.device, target: Target) -> None:
    x = tokens_of(3, 77, torch.float32, 2)
    rows = produce(Rows(x.to(device)), ToRows(dtype), target=target)
    assert torch.equal(rows.cpu(), x.to(dtype))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 24), "width of a token must be a positive multiple of 16, not 24"),
        (torch.zeros(2, 0), "multiple of 16, not 0"),
        (torch.zeros(1, 32_784), "1 to 32768 elements, not 32784"),
        (torch.zeros(2, 32, dtype=torch.int32), r"x must be bfloat16 or float16 or float32 \[T, K"),
        (torch.zeros(32), r"x must be .* not float32 \[32\]"),
        (torch.zeros(32, 2).T, "x must have contiguous rows"),
    ],
)
def test_what_cannot_be_arranged_is_named(x: torch.Tensor, message: str, target: Target) -> None:
    with pytest.raises(ValueError, match=message):
        arrange_words(x, natural=True, target=target)


def test_a_type_that_rows_cannot_have_is_named(target: Target) -> None:
    with pytest.raises(ValueError, match=r"dtype must be one of .*, not torch\.int8"):
        produce(Rows(torch.zeros(1, 4)), ToRows(torch.int8), target=target)
