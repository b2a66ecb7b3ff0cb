"""What is to be measured, put together from a preset and single options."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import click

from localfp4.bench.planning.presets import PRESETS, Preset
from localfp4.bench.planning.sweeps import sweep_cases
from localfp4.bench.workload import Case
from localfp4.errors import UserError

_BASE = Case(batch=1, input_tokens=512, output_tokens=128)
_REPEATS, _WARMUP, _BUDGET_S = 5, 1, 60.0

_MOST_CELLS = 1024
"""Lists of sizes multiply; more cells than that nobody waits for."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes that were given by options; ``None`` where they were left out.

    Attributes:
        batch: Requests at a time.
        input_len: Tokens of each prompt.
        output_len: Tokens of each answer.
        depth: Tokens in each context before.
        sweeps: Lists of cases, in words.
    """

    batch: tuple[int, ...] | None = None
    input_len: tuple[int, ...] | None = None
    output_len: tuple[int, ...] | None = None
    depth: tuple[int, ...] | None = None
    sweeps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to measure.

    Attributes:
        cases: Each once, in the order in which they were named.
        formats: Of each model.
        repeats: Measured runs of each.
        warmup: Runs before them.
        budget_s: Seconds after which no further repeats begin; ``None`` does all.
        is_adallm: Whether the report is AdaLLM's table.
    """

    cases: tuple[Case, ...]
    formats: tuple[str, ...]
    repeats: int
    warmup: int
    budget_s: float | None
    is_adallm: bool = False


def wanted(
    preset: str | None,
    sizes: Sizes,
    formats: Sequence[str],
    repeats: int | None,
    warmup: int | None,
) -> Wanted:
    """Put together what is to be measured.

    Raises:
        UsageError: Options contradict each other.
        UserError: A sweep cannot be read, or there are too many cases.
    """
    if preset is not None:
        return _as_preset(preset, PRESETS[preset], sizes, formats, repeats, warmup)
    return Wanted(
        cases=_cases(sizes),
        formats=tuple(formats) or ("auto",),
        repeats=repeats or _REPEATS,
        warmup=_WARMUP if warmup is None else warmup,
        budget_s=_BUDGET_S if repeats is None else None,
    )


def _as_preset(
    name: str,
    preset: Preset,
    sizes: Sizes,
    formats: Sequence[str],
    repeats: int | None,
    warmup: int | None,
) -> Wanted:
    own = {"-b": sizes.batch, "-p": sizes.input_len, "--sweep": sizes.sweeps}
    if given := [option for option, value in own.items() if value]:
        raise click.UsageError(
            f"--preset {name} brings its own batch sizes and lengths of prompts: leave "
            f"{' and '.join(given)} out, or the preset."
        )
    return Wanted(
        cases=_changed(preset.cases, sizes),
        formats=tuple(formats) or preset.formats,
        repeats=repeats or preset.repeats,
        warmup=preset.warmup if warmup is None else warmup,
        budget_s=None,
        is_adallm=preset.report == "adallm",
    )


def _cases(sizes: Sizes) -> tuple[Case, ...]:
    """Return every combination of the sizes, the batch changing slowest, and the sweeps."""
    if not sizes.sweeps:
        return _combinations(sizes)
    _require_used(sizes)
    return _once(
        case
        for base in _combinations(sizes)
        for sweep in sizes.sweeps
        for case in sweep_cases(sweep, base)
    )


def _require_used(sizes: Sizes) -> None:
    """Refuse sizes in whose place every sweep puts its own.

    Raises:
        UsageError: There are any.
    """
    given = {
        "-b": (sizes.batch, {"batch": _BASE.batch + 1}),
        "-p": (sizes.input_len, {"input_tokens": _BASE.input_tokens + 1}),
        "-n": (sizes.output_len, {"output_tokens": _BASE.output_tokens + 1}),
        "--depth": (sizes.depth, {"depth": _BASE.depth + 1}),
    }
    unused = [
        option
        for option, (values, other) in given.items()
        if values
        and all(
            sweep_cases(sweep, _BASE) == sweep_cases(sweep, replace(_BASE, **other))
            for sweep in sizes.sweeps
        )
    ]
    if unused:
        raise click.UsageError(
            f"{' and '.join(unused)} would be of no use, since --sweep says that size itself: leave "
            "one of them out."
        )


def _combinations(sizes: Sizes) -> tuple[Case, ...]:
    return _once(
        Case(*one)
        for one in product(
            sizes.batch or (_BASE.batch,),
            sizes.input_len or (_BASE.input_tokens,),
            sizes.output_len or (_BASE.output_tokens,),
            sizes.depth or (_BASE.depth,),
        )
    )


def _changed(cases: Sequence[Case], sizes: Sizes) -> tuple[Case, ...]:
    """Return cases with the lengths of answers and the depths that were asked for."""
    return _once(
        replace(case, output_tokens=output, depth=depth)
        for case in cases
        for output in sizes.output_len or (case.output_tokens,)
        for depth in sizes.depth or (case.depth,)
    )


def _once(cases: Iterable[Case]) -> tuple[Case, ...]:
    """Return cases without those that come again.

    Raises:
        UserError: They are too many.
    """
    found: dict[Case, None] = {}
    for case in cases:
        found[case] = None
        if len(found) > _MOST_CELLS:
            raise UserError(
                f"That is more than {_MOST_CELLS} cells, since every combination is run; name fewer "
                "sizes, or ranges that grow faster, such as 128..8192*2."
            )
    return tuple(found)
