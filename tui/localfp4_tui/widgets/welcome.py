"""What an empty chat shows: what was loaded."""

from textual.content import Content
from textual.widgets import Static

from localfp4.messages import ModelInfo
from localfp4_tui.formatting import count_of, format_bytes, format_count, format_seconds, one_line

DENSE_BITS = 12
"""Bits a parameter from which on weights cannot be packed any more, whatever lies beside them."""


class Welcome(Static):
    """A few lines about the loaded model, or about that of a server."""

    def __init__(self, info: ModelInfo) -> None:
        how = f"loaded in {format_seconds(info.load_s)}"
        lines = [weights_of(info), context_of(info)]
        if info.server:
            how, lines = f"served by {one_line(info.server)}", [length_of(info)]
        super().__init__(
            Content.assemble(
                (one_line(info.name), "bold"),
                (f" is ready, {how}\n", ""),
                ("\n".join(lines), "$foreground 60%"),
            ),
            markup=False,
        )


def weights_of(info: ModelInfo) -> str:
    """Tell how the weights are stored, and what they take where they lie.

    Plain torch multiplies expanded weights: those take more memory than the files do.
    """
    where = "of RAM" if info.device.startswith("cpu") else "of VRAM"
    taken = f"{format_bytes(info.weight_bytes)} {where}"
    bits = info.weight_bytes * 8 / max(info.parameters, 1)
    stored = one_line(info.weight_format)
    is_stored_so = any(name in stored for name in ("BF16", "F16", "F32"))
    if bits >= DENSE_BITS and not is_stored_so:
        stored, taken = f"{stored} in its files", f"{taken} as {one_line(info.dtype)}"
    return f"{format_count(info.parameters)} parameters · {stored} · {taken}"


def context_of(info: ModelInfo) -> str:
    """Tell how long a conversation may be, how many of that length there is room for, and where."""
    together = max(info.kv_cache_tokens // max(info.max_model_len, 1), 1)
    room = "" if together == 1 else f", for {count_of(together, 'conversation')} at once"
    cache = f"KV cache {format_bytes(info.kv_cache_bytes)}{room}"
    return f"{length_of(info)} · {cache}"


def length_of(info: ModelInfo) -> str:
    """Tell how long a conversation may be; empty where a server does not tell."""
    tokens = info.max_model_len
    return f"{format_count(tokens)} tokens of context" if tokens else ""
