"""Whole answers in harmony: messages on channels, of which the last is said or is a call."""

from collections.abc import Collection

from localfp4.text.guidance.rules import Rules, either, literal
from localfp4.text.guidance.tools import Tool
from localfp4.text.parsers.harmony import CHANNEL, CONSTRAIN, END, MESSAGE, START
from localfp4.text.parsers.parser import Opening


def add_harmony(
    rules: Rules,
    opening: Opening,
    tools: Collection[Tool],
    form: str | None,
    *,
    must_call: bool,
) -> str:
    """Return what matches an answer after ``<|start|>assistant``, or within a message.

    Args:
        rules: Where rules go.
        opening: Whether the prompt ends within a message.
        tools: What may be called; a call ends the answer.
        form: What matches the content; ``None`` for any.
        must_call: Whether there has to be a call.
    """
    channel, message = rules.token(CHANNEL), rules.token(MESSAGE)
    text = rules.terminal("/(?s:.+)/")
    over = rules.rule(f'{rules.token(END)} {rules.token(START)} "assistant"')
    json_mark = rules.rule(f'(" "? {rules.token(CONSTRAIN)} "json")?')
    thought = f'{channel} "analysis" {message} {text}? {over}'
    remark = f'{channel} "commentary" {message} {text}? {over}'
    final = f'{channel} "final" {json_mark} {message} {form or f"{text}?"}'
    calls = [
        f"{_header(rules, tool)} {rules.schema(tool.schema, lenient=not tool.is_strict)}"
        for tool in tools
    ]
    before = thought if must_call or form is not None else either([thought, remark])
    last = rules.rule(either(calls if must_call else [final, *calls]))
    messages = f"({before})* {last}"
    if opening.within is None:
        return messages
    begun = f"{text}? {over} {messages}"
    if opening.within == "thinking" or must_call:
        return begun
    return either([f"{text}?", begun])


def _header(rules: Rules, tool: Tool) -> str:
    """Return what matches the header of a call, in the two orders that models write."""
    channel, message = rules.token(CHANNEL), rules.token(MESSAGE)
    to, constrain = f"to=functions.{tool.name}", rules.token(CONSTRAIN)
    mark = f'(" "? {constrain} "json")?'
    after = f"{channel} {literal(f'commentary {to}')} {mark}"
    before = f'{literal(f" {to}")} {channel} "commentary" (" json" | {mark})'
    return f"{either([after, before])} {message}"
