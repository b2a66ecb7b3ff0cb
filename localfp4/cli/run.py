"""``localfp4 run``: one prompt, one answer on standard output.

The engine runs in this process, unless a server is named: a second process would only delay the
first token. Escape sequences are stripped from what is printed, piped output included, since files
are shown on terminals too; ``--json`` keeps them, escaped.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from localfp4.checkpoint.hub import DEMO
from localfp4.cli import EXIT_INTERRUPTED
from localfp4.cli.base_url import base_url_options, find_server, require_server_for_key
from localfp4.cli.completing.values import first_word
from localfp4.cli.failure import remark
from localfp4.cli.interrupts import exit_on_interrupt
from localfp4.cli.model_name import meant
from localfp4.cli.options import (
    chosen_sampling,
    chosen_thinking,
    engine_config,
    engine_options,
    sampling_options,
    thinking_options,
)
from localfp4.cli.progress import load_visibly
from localfp4.cli.prompt import make_request, read_words, schema_in
from localfp4.config import EngineConfig
from localfp4.engine.faults import no_room_to_load, out_of_memory_as
from localfp4.engine.garbage import collected_later
from localfp4.engine.phases import phase_lines
from localfp4.errors import RequestError
from localfp4.messages import Delta, Event, Failed, Finished, ModelInfo, Request, ToolCall
from localfp4.text.sanitize import TerminalSanitizer

if TYPE_CHECKING:
    from localfp4.engine.engine import Engine


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer as the model gave it, and its end."""

    text: str
    reasoning: str
    tool_calls: tuple[ToolCall, ...]
    end: Finished


@dataclass(frozen=True, slots=True)
class Answerer:
    """Who answers: the model, and what yields the events of an answer."""

    info: ModelInfo
    answer: Callable[[Request], Iterator[Event]]


@click.command()
@click.argument("words", nargs=-1, metavar="[MODEL] PROMPT", shell_complete=first_word)
@engine_options
@base_url_options
@sampling_options
@thinking_options
@click.option(
    "--schema",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Hold the answer to the JSON schema in FILE.",
)
@click.option("--show-thinking", is_flag=True, help="Print reasoning on standard error.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the text.")
@click.option("--stats", "with_stats", is_flag=True, help="Print timings on standard error.")
def run(
    words: tuple[str, ...],
    system: str | None,
    schema: Path | None,
    show_thinking: bool,
    as_json: bool,
    with_stats: bool,
    **options: Any,
) -> None:
    """Answer one prompt on standard output.

    One argument is the prompt, and the bundled demo answers it, or with --base-url the only model
    of a server. Piped input is appended to the prompt; with - as the prompt, it is the prompt.
    """
    model, prompt = read_words(words)
    sampling, thinking = chosen_sampling(options), chosen_thinking(options)
    constraint = schema_in(schema)
    with _opened(model, options, sampling) as answerer:
        info = answerer.info
        unheeded = info.remark_on_thinking(thinking["thinking"])
        for note in (*info.notes, *([unheeded] if unheeded else [])):
            remark(note)
        events = answerer.answer(make_request(info, prompt, system, sampling, thinking, constraint))
        answer = _collect(events) if as_json else _print_while_it_comes(events, show_thinking)
        if as_json:
            click.echo(json.dumps(_as_object(info, answer)))
        if answer.reasoning and not answer.text and answer.end.reason == "length":
            remark("The model was still thinking; raise --max-tokens, or try --no-think.")
        if with_stats:
            for line in phase_lines(info.load_phases, info.weight_bytes):
                click.echo(line, err=True)
            click.echo(_in_one_line(info, answer.end), err=True)


@contextmanager
def _opened(
    model: str | None, options: Mapping[str, Any], sampling: Mapping[str, Any]
) -> Iterator[Answerer]:
    """Build the engine for the time of a block, or find the server that was named.

    Raises:
        UserError: The model cannot be loaded, or the server not be reached.
    """
    require_server_for_key(options)
    if options["base_url"] is not None:
        with closing(find_server(model, options, sampling=sampling, thinking={})) as backend:
            yield Answerer(backend.info(), backend.stream)
        return
    config = engine_config(meant(DEMO if model is None else model), options)
    with exit_on_interrupt():
        engine = _load(config)
    with closing(engine):
        yield Answerer(engine.info, partial(_events, engine))


def _load(config: EngineConfig) -> "Engine":
    """Build the engine; this imports torch."""
    with out_of_memory_as(no_room_to_load(config.model)), collected_later():
        from localfp4.engine.engine import load_engine

        return load_visibly(load_engine(config))


def _events(engine: "Engine", request: Request) -> Iterator[Event]:
    engine.add(request)
    while engine.has_work():
        yield from engine.step()


def _print_while_it_comes(events: Iterator[Event], show_thinking: bool) -> Answer:
    """Print an answer piece by piece; Ctrl-C leaves what was printed and ends the command."""
    try:
        answer = _collect(_printed(events, show_thinking))
    except KeyboardInterrupt:
        click.echo()
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
    if not answer.text.endswith("\n"):
        click.echo()
    return answer


def _printed(events: Iterator[Event], show_thinking: bool) -> Iterator[Event]:
    terminal, thoughts = TerminalSanitizer(), TerminalSanitizer()
    is_thinking = False
    for event in events:
        if isinstance(event, Delta):
            if show_thinking and event.reasoning:
                click.echo(thoughts.add(event.reasoning), nl=False, err=True)
                is_thinking = True
            if is_thinking and event.text:
                click.echo("\n", err=True)
                is_thinking = False
            click.echo(terminal.add(event.text), nl=False)
        yield event


def _collect(events: Iterator[Event]) -> Answer:
    deltas: list[Delta] = []
    for event in events:
        match event:
            case Delta():
                deltas.append(event)
            case Failed():
                raise RequestError(event.message)
            case Finished():
                return Answer(
                    text="".join(delta.text for delta in deltas),
                    reasoning="".join(delta.reasoning for delta in deltas),
                    tool_calls=tuple(call for delta in deltas for call in delta.tool_calls),
                    end=event,
                )
    raise RuntimeError("the engine ran out of work in the middle of an answer")


def _as_object(info: ModelInfo, answer: Answer) -> dict[str, Any]:
    end = answer.end
    return {
        "model": info.name,
        "text": answer.text,
        "reasoning": answer.reasoning,
        "tool_calls": [asdict(call) for call in answer.tool_calls],
        "finish_reason": end.reason,
        "prompt_tokens": end.prompt_tokens,
        "cached_tokens": end.cached_tokens,
        "output_tokens": end.output_tokens,
        "load_ms": round(info.load_s * 1e3, 3),
        "ttft_ms": round(end.ttft_s * 1e3, 3),
        "duration_ms": round(end.duration_s * 1e3, 3),
        "decode_tokens_per_s": round(end.decode_tokens_per_s, 3),
        "device": info.device,
        "weight_format": info.weight_format,
        "kernel_path": info.kernel_path,
        "server": info.server,
    }


def _in_one_line(info: ModelInfo, end: Finished) -> str:
    return (
        f"load {info.load_s:.2f} s | prompt {end.prompt_tokens} tokens | TTFT "
        f"{end.ttft_s * 1e3:.0f} ms | answer {end.output_tokens} tokens at "
        f"{end.decode_tokens_per_s:.1f} tokens/s | {end.reason}"
    )
