"""What has to be known of a run to repeat it, as lines above its tables."""

from collections.abc import Iterator, Mapping

from localfp4.bench.names import all_series
from localfp4.bench.records import About, Run, Series
from localfp4.documents.machine import COMMIT_DIGITS, gib, machine
from localfp4.documents.markdown import broken, counted, item, one_line, short


def heading(
    run: Run, names: Mapping[Series, str], refused: Mapping[Series, str], width: int
) -> list[str]:
    """Return lines that say what was measured, where, with what and how.

    Args:
        run: What was measured.
        names: What its series are called.
        refused: Why series did not run at all.
        width: Characters that a line should not exceed.
    """
    series = all_series(run)
    models = ", ".join(dict.fromkeys(f"**{one_line(one.model)}**" for one in series))
    alone = run.abouts.get(series[0]) if len(series) == 1 else None
    facts = [
        [models, *(_about(series[0], alone) if alone else ())],
        *machine(run.environment),
        f"measured limits: {run.limits.in_words()}".split(", ") if run.limits else [],
        list(_method(run)),
    ]
    lines = [line for parts in facts if parts for line in broken(parts, width)]
    command = f"`{one_line(run.method.command)}`" if run.method.command else ""
    listed = _series_list(run, names, refused, width) if len(series) > 1 else []
    notes = item(one_line(" ".join(_common_notes(run))), width, mark="")
    blocks = [[*lines, command] if command else lines, listed, notes]
    return [line for block in blocks if block for line in (*block, "")]


def _method(run: Run) -> Iterator[str]:
    asked = run.method.repeats
    done: dict[object, int] = {}
    for row in run.rows:
        if row.figures is not None:
            done[row.series, row.case] = done.get((row.series, row.case), 0) + 1
    least, most = min(done.values(), default=0), max(done.values(), default=0)
    some = f"{least}" if least == most else f"{least} to {most}"
    repeats = (
        counted(asked, "repeat") if least == asked else f"{some} of {counted(asked, 'repeat')}"
    )
    yield f"{repeats} after {counted(run.method.warmup, 'warm-up')}"
    if most > 1:
        yield "mean ± sd"
    yield f"random prompts (seed {run.method.seed})"
    yield "greedy"
    yield "exact lengths" if run.method.ignore_eos else "answers end where the model ends them"
    if {one.engine for one in all_series(run)} != {"server"}:
        yield "prefix cache off"
    if run.method.kv != "auto":
        yield f"KV cache {run.method.kv}"


def _about(series: Series, about: About) -> Iterator[str]:
    """Yield what was loaded for a series, as far as its engine tells."""
    if series.engine != "localfp4":
        yield f"{series.engine} {about.version}".strip()
    if about.revision:
        yield f"revision {about.revision[:COMMIT_DIGITS]}"
    yield from (text for text in (about.weight_format, about.kernel_path) if text)
    if about.dtype and about.dtype not in f"{about.weight_format} {about.kernel_path}".split():
        yield about.dtype
    if about.weight_bytes:
        yield f"weights {gib(about.weight_bytes)}"
    if about.kv_cache_bytes:
        yield f"KV cache {gib(about.kv_cache_bytes)}"
    if about.load_s is not None:
        yield f"loaded in {short(about.load_s)} s"
    if about.runs:
        yield f"runs {about.runs}"


def _series_list(
    run: Run, names: Mapping[Series, str], refused: Mapping[Series, str], width: int
) -> list[str]:
    """Return an item for each series that ran, and one for what several have in common."""
    told_of = _told_of(run, names, refused)
    items = []
    for series, name in names.items():
        about = run.abouts.get(series)
        told = [*(_about(series, about) if about else ())]
        told += [sentence for sentence, who in told_of.items() if who == [name]]
        items += [[f"**{name}**", *told]] if told else []
    items += [
        [f"**{', '.join(who)}**", sentence] for sentence, who in told_of.items() if len(who) > 1
    ]
    return [line for parts in items for line in item(" · ".join(map(one_line, parts)), width)]


def _told_of(
    run: Run, names: Mapping[Series, str], refused: Mapping[Series, str]
) -> dict[str, list[str]]:
    """Return of which series each sentence is told, but for those that are told of all."""
    common = _common_notes(run)
    found: dict[str, list[str]] = {}
    for series, name in names.items():
        about = run.abouts.get(series)
        notes = [note for note in about.notes if note not in common] if about else []
        for sentence in [*notes, *([refused[series]] if series in refused else [])]:
            found.setdefault(sentence, []).append(name)
    return found


def _common_notes(run: Run) -> list[str]:
    """Return what a reader should know of all series."""
    loaded = list(run.abouts.values())
    first = loaded[0].notes if loaded else ()
    return [note for note in first if all(note in about.notes for about in loaded)]
