"""Which protocol a model's answers follow, told by its vocabulary and its chat template.

Never by its name: fine-tunes keep their base's name and change its protocol.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from localfp4.messages import Thinks
from localfp4.text.parsers import gemma4, glm, harmony, llama3, mistral
from localfp4.text.parsers.hermes import read_hermes
from localfp4.text.parsers.lfm2 import read_lfm2
from localfp4.text.parsers.parser import AnswerParser, Opening, Tools
from localfp4.text.parsers.plain_json import PlainJsonParser
from localfp4.text.parsers.qwen_xml import read_qwen_xml
from localfp4.text.parsers.tagged import Region, TaggedParser
from localfp4.text.template import ChatTemplate
from localfp4.text.tokenizer import Tokenizer

_REASONING = (
    Region("<think>", "</think>"),
    Region("<seed:think>", "</seed:think>"),
    Region("[THINK]", "[/THINK]"),
    Region("<|channel>", "<channel|>", heading="thought\n"),
)


CallStyle = Literal[
    "gemma4",
    "glm",
    "harmony",
    "hermes",
    "lfm2",
    "llama3",
    "mistral",
    "mistral_list",
    "plain_json",
    "qwen_xml",
    "seed",
]
"""The ways to write tool calls that there are."""


@dataclass(frozen=True, slots=True)
class _Calls:
    """A way to write tool calls.

    Attributes:
        style: Its name.
        region: Where they stand.
        inside: Control tokens that may stand there, too.
        spelled: What the template then writes; tells apart protocols with the same tokens.
    """

    style: CallStyle
    region: Region
    inside: Sequence[str] = ()
    spelled: str = ""


_CALLS = (
    _Calls("gemma4", Region("<|tool_call>", "<tool_call|>", gemma4.read_gemma4), [gemma4.QUOTE]),
    _Calls("mistral", Region("[TOOL_CALLS]", "", mistral.read_mistral), mistral.INSIDE),
    _Calls("lfm2", Region("<|tool_call_start|>", "<|tool_call_end|>", read_lfm2)),
    _Calls("seed", Region("<seed:tool_call>", "</seed:tool_call>", read_qwen_xml)),
    _Calls("qwen_xml", Region("<tool_call>", "</tool_call>", read_qwen_xml), spelled="<function="),
    _Calls(
        "glm", Region("<tool_call>", "</tool_call>", glm.read_glm), glm.INSIDE, spelled="<arg_key>"
    ),
    _Calls("hermes", Region("<tool_call>", "</tool_call>", read_hermes)),
)


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """The protocol of one model.

    Attributes:
        markers: The control tokens that matter to it, by id.
        make_parser: Starts an answer, given the tools and where in an answer the prompt ends.
        reasoning: What it encloses thoughts in; empty where it has another way, or none.
        calls: How it writes tool calls; ``None`` where it does not.
    """

    markers: Mapping[int, str]
    make_parser: Callable[[Tools, Opening], AnswerParser]
    reasoning: Sequence[Region] = ()
    calls: CallStyle | None = None


def parser_for(tokenizer: Tokenizer, template: ChatTemplate) -> AnswerFormat | None:
    """Return the protocol of a model; ``None`` where its answers are plain text.

    A model whose template knows no tools is told of them in words, and writes calls as plain JSON.
    """
    known = {text: token_id for token_id, text in tokenizer.added_tokens.items()}
    if {harmony.START, harmony.CHANNEL, harmony.MESSAGE} <= known.keys():
        return _format(known, harmony.MARKERS, harmony.HarmonyParser, calls="harmony")
    reasoning = [region for region in _REASONING if {region.opens, region.closes} <= known.keys()]
    calls = next((calls for calls in _CALLS if _fits(calls, known, template)), None)
    if calls is None and not template.knows_tools:
        tokens = [token for region in reasoning for token in (region.opens, region.closes)]
        make_plain = partial(PlainJsonParser, reasoning)
        return _format(known, tokens, make_plain, reasoning, "plain_json")
    if calls is None and not reasoning:
        if llama3.PYTHON_TAG not in known:
            return None
        return _format(known, [llama3.PYTHON_TAG], llama3.Llama3Parser, calls="llama3")
    tokens = [token for region in reasoning for token in (region.opens, region.closes)]
    if calls is not None:
        tokens += [calls.region.opens, calls.region.closes, *calls.inside]
    make_parser = partial(_tagged, reasoning, calls)
    return _format(known, tokens, make_parser, reasoning, _style(calls, known))


def thinks(template: ChatTemplate, answers: AnswerFormat | None) -> Thinks:
    """Say whether a model reasons before it answers, as far as its template tells.

    Where that reads no wish of the user's, what it does with a thought shows that there are some.
    """
    if template.reads("enable_thinking", "thinking"):
        return "asked"
    regions = answers.reasoning if answers is not None else ()
    is_known = template.reads("reasoning_effort") or any(template.spells(r.opens) for r in regions)
    return "always" if is_known else "never"


def _fits(calls: _Calls, known: Mapping[str, int], template: ChatTemplate) -> bool:
    region = calls.region
    has_tokens = region.opens in known and (not region.closes or region.closes in known)
    return has_tokens and template.spells(calls.spelled)


def _format(
    known: Mapping[str, int],
    tokens: Sequence[str],
    make_parser: Callable[[Tools, Opening], AnswerParser],
    reasoning: Sequence[Region] = (),
    calls: CallStyle | None = None,
) -> AnswerFormat:
    markers = {known[token]: token for token in tokens if token in known}
    return AnswerFormat(markers, make_parser, reasoning, calls)


def _style(calls: _Calls | None, known: Mapping[str, int]) -> CallStyle | None:
    """Name a way to write calls; Mistral's older one does without a token before arguments."""
    if calls is None:
        return None
    is_list = calls.style == "mistral" and mistral.ARGUMENTS not in known
    return "mistral_list" if is_list else calls.style


def _tagged(
    reasoning: Sequence[Region], calls: _Calls | None, tools: Tools, opening: Opening
) -> TaggedParser:
    """Start an answer; where no tools are offered, a call is text like any other."""
    regions = [*reasoning, *([calls.region] if calls is not None and tools else [])]
    return TaggedParser(regions, tools, opening)
