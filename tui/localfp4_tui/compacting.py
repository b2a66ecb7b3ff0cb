"""How a model is asked to put a summary in the place of a conversation; no widgets."""

from dataclasses import replace

from localfp4.messages import ChatMessage, Request

INSTRUCTION = (
    "Summarise our conversation so far, so that you could go on with it from the summary alone. "
    "Keep what I asked for and why, what was decided, names, figures and code that still matter, "
    "and what is left to do. Write only the summary."
)


def compaction_request(conversation: Request) -> Request:
    """Return the request for a summary of what another request would put to the model.

    It is written without thinking, and to its end, however short answers are wanted otherwise.
    """
    messages = conversation.messages or ()
    return replace(
        conversation,
        messages=(*messages, ChatMessage(role="user", content=INSTRUCTION)),
        sampling=replace(conversation.sampling, max_tokens=None, stop=(), logprobs=None),
        thinking=False,
    )
