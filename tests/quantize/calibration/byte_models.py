"""A tokenizer with a token for each byte, so that every id is known beforehand."""

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors

from localfp4.text.template import ChatTemplate
from localfp4.text.tokenizer import Tokenizer

START, END, TURN = 256, 257, 258

TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}"
    "<|turn|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
"""Refuses system messages, as Gemma's does."""


def byte_tokenizer(*, start: bool = False) -> Tokenizer:
    """Return it; ``start`` puts a token before every text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = tokenizers.Tokenizer(
        models.BPE({character: place for place, character in enumerate(alphabet)}, [])
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|start|>", "<|end|>", "<|turn|>"])
    if start:
        backend.post_processor = processors.TemplateProcessing(
            single="<|start|> $A", special_tokens=[("<|start|>", START)]
        )
    return Tokenizer(backend, eos_token="<|end|>")


def chat_template() -> ChatTemplate:
    """Return the template."""
    return ChatTemplate({"default": TEMPLATE})
