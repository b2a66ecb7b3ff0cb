"""Conversations to token ids: the chat template and the tokenizer together."""

from collections.abc import Sequence
from dataclasses import replace

from localfp4.errors import RequestError
from localfp4.text.control_tokens import ControlTokens
from localfp4.text.conversation import Conversation
from localfp4.text.marking import MarkedText
from localfp4.text.parsers.tagged import Region
from localfp4.text.template import ChatTemplate, Rendered
from localfp4.text.tokenizer import Tokenizer, without_surrogates


class ChatEncoder:
    """Encodes conversations for one model."""

    def __init__(
        self, tokenizer: Tokenizer, template: ChatTemplate, reasoning: Sequence[Region] = ()
    ) -> None:
        """Put the two together.

        Args:
            tokenizer: The model's.
            template: The model's.
            reasoning: What the model may enclose its thoughts in.
        """
        self._template = template
        self._reasoning = reasoning
        self._controls = ControlTokens(tokenizer, template.source)
        named = {"bos_token": tokenizer.bos_token, "eos_token": tokenizer.eos_token}
        self._tokens = {name: token for name, token in named.items() if token is not None}

    def encode(self, conversation: Conversation) -> list[int]:
        """Return the prompt of a conversation.

        Control tokens are those that the template writes; what spells one in a message, a tool or
        an earlier answer is text. An answer that is gone on with is encoded in one piece with what
        is before it, as if it were over: its last tokens may be others than those that the model
        once chose for the same text.

        Raises:
            RequestError: The template cannot express the conversation.
        """
        rendered = self._rendered(conversation)
        return self._controls.encode(rendered.marked, rendered.plain)

    def render(self, conversation: Conversation) -> str:
        """Return the prompt of a conversation in words.

        Raises:
            RequestError: The template cannot express the conversation.
        """
        return self._rendered(conversation).plain

    def _rendered(self, conversation: Conversation) -> Rendered:
        if conversation.continues:
            return self._render_unfinished(conversation)
        return self._render(conversation)

    def _render(self, conversation: Conversation) -> Rendered:
        return self._template.render(conversation, self._tokens, self._controls.ends)

    def _render_unfinished(self, conversation: Conversation) -> Rendered:
        ends = self._controls.ends
        rendered = self._template.render_unfinished(conversation, self._tokens, ends)
        if rendered is None and conversation.breaks_off_in == "thinking":
            rendered = self._render_thought(conversation)
        if rendered is None:
            raise RequestError(
                "The model's chat template leaves out or changes the answer, so it cannot be gone "
                "on with; ask for another one."
            )
        return rendered

    def _render_thought(self, conversation: Conversation) -> Rendered | None:
        """Open a new answer with a thought that the template would leave out as an earlier one's.

        ``None`` where the model is not known to think, or how it begins to.
        """
        thought = without_surrogates(conversation.thought)
        asked = replace(
            conversation, messages=conversation.messages[:-1], thinking=True, continues=False
        )
        prompt = self._render(asked)
        opening = self._opening(prompt.plain)
        if opening is None:
            return None
        begun = f"{prompt.marked.text}{opening}"
        places = range(len(begun), len(begun) + len(thought))
        marked = MarkedText(begun + thought, prompt.marked.places.union(places))
        return Rendered(f"{prompt.plain}{opening}{thought}", marked)

    def _opening(self, prompt: str) -> str | None:
        """Return what opens a thought after a prompt, which may have done so itself."""
        if any(prompt.rstrip().endswith(region.opens) for region in self._reasoning):
            return ""
        headed = (region.opens + region.heading for region in self._reasoning if region.heading)
        return next(headed, None)
