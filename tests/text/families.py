"""The chat formats of the common families: templates of our own, and the control tokens they use.

The templates follow the formats that the families publish; they are not the published files.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import tokenizers

from localfp4.text.chat import ChatEncoder
from localfp4.text.conversation import Conversation
from localfp4.text.parsers.choose import AnswerFormat, parser_for
from localfp4.text.render_process import RenderProcess
from localfp4.text.template import ChatTemplate
from localfp4.text.tokenizer import Tokenizer
from tests.text.conftest import build_byte_level

GOLDEN = Path(__file__).with_name("golden")

_CHATML = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
_QWEN = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
_THINK = ("<think>", "</think>")


@dataclass(frozen=True)
class Family:
    """One chat format.

    Attributes:
        special: Tokens that decoding leaves out.
        added: Tokens that it does not.
        ends: What ends an answer in a template, of ``special``.
        bos: Token that begins a prompt.
        eos: Token that ends a text.
    """

    name: str
    special: tuple[str, ...]
    added: tuple[str, ...]
    ends: str
    bos: str | None = None
    eos: str = "<|im_end|>"

    @property
    def source(self) -> str:
        return (GOLDEN / f"{self.name}.jinja").read_text(encoding="utf-8")


FAMILIES = {
    family.name: family
    for family in (
        Family("qwen3", _CHATML, (*_QWEN, *_THINK), "<|im_end|>\n"),
        Family("qwen3_5", _CHATML, (*_QWEN, *_THINK), "<|im_end|>\n"),
        Family("nemotron3", (*_CHATML, *_QWEN), _THINK, "<|im_end|>\n"),
        Family(
            "gemma4",
            (
                "<bos>",
                "<eos>",
                *("<|turn>", "<turn|>", "<|think|>", "<|channel>", "<channel|>", '<|"|>'),
                *("<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>"),
                *("<|tool_response>", "<tool_response|>"),
            ),
            ("<table>", "\n\n"),
            "<turn|>\n",
            bos="<bos>",
            eos="<eos>",
        ),
        Family(
            "gpt_oss",
            (
                *("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>"),
                *("<|call|>", "<|return|>", "<|endoftext|>"),
            ),
            (),
            "<|return|>",
            eos="<|return|>",
        ),
        Family(
            "llama3",
            (
                *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>"),
                *("<|end_header_id|>", "<|eot_id|>", "<|eom_id|>", "<|python_tag|>"),
            ),
            (),
            "<|eot_id|>",
            bos="<|begin_of_text|>",
            eos="<|eot_id|>",
        ),
        Family(
            "mistral",
            (
                *("<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
                *("[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
                *("[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]"),
            ),
            (),
            "</s>",
            bos="<s>",
            eos="</s>",
        ),
        Family(
            "mistral_list",
            (
                *("<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
                *("[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
                "[TOOL_CALLS]",
            ),
            (),
            "</s>",
            bos="<s>",
            eos="</s>",
        ),
        Family(
            "lfm2_5",
            ("<|startoftext|>", *_CHATML, "<|tool_call_start|>", "<|tool_call_end|>"),
            _THINK,
            "<|im_end|>\n",
            bos="<|startoftext|>",
        ),
        Family(
            "glm4",
            (
                *("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>"),
                *("<|observation|>", "<|endoftext|>"),
            ),
            (
                *_THINK,
                *_QWEN,
                *("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
            ),
            "",
            eos="<|endoftext|>",
        ),
    )
}


@dataclass(frozen=True)
class Model:
    """What a loaded model has for its chats."""

    family: Family
    tokenizer: Tokenizer
    template: ChatTemplate
    encoder: ChatEncoder
    answer_format: AnswerFormat | None

    def render(self, conversation: Conversation) -> str:
        tokens = {"eos_token": self.family.eos}
        if self.family.bos:
            tokens["bos_token"] = self.family.bos
        return self.template.render(conversation, tokens).plain

    def ids(self, *tokens: str) -> set[int]:
        return {self.tokenizer.token_id(token) or -1 for token in tokens}


@cache
def model(name: str) -> Model:
    """Return a tiny model of a family, with one rendering process for all."""
    family = FAMILIES[name]
    backend = build_byte_level(added=False)
    backend.add_special_tokens([_added(token) for token in family.special])
    backend.add_tokens([_added(token) for token in family.added])
    tokenizer = Tokenizer(backend, bos_token=family.bos, eos_token=family.eos)
    template = ChatTemplate({"default": family.source}, process())
    answer_format = parser_for(tokenizer, template)
    return Model(
        family,
        tokenizer,
        template,
        ChatEncoder(tokenizer, template, answer_format.reasoning if answer_format else ()),
        answer_format,
    )


@cache
def process() -> RenderProcess:
    """Return a process that renders for every test of this worker."""
    return RenderProcess()


def _added(text: str) -> tokenizers.AddedToken:
    return tokenizers.AddedToken(text, normalized=False)


def function(name: str, **types: str) -> dict[str, Any]:
    """Return a tool as OpenAI's API has it."""
    properties = {key: {"type": type_} for key, type_ in types.items()}
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Do {name}",
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": list(types),
            },
        },
    }


def called(name: str, arguments: dict[str, Any], call_id: str = "123456789") -> dict[str, Any]:
    """Return a tool call as OpenAI's API has it."""
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


WEATHER = function("weather", city="string", days="integer")
