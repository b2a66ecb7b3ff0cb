"""What an answer cost in tokens."""

from collections.abc import Sequence
from typing import Any

from localfp4.messages import Finished


def usage(ends: Sequence[Finished], choices: int = 1) -> dict[str, Any]:
    """Return OpenAI's ``usage``.

    Args:
        ends: Of all answers, in the order of their prompts.
        choices: Answers to each prompt, which is counted once.
    """
    prompts = ends[::choices]
    prompt_tokens = sum(end.prompt_tokens for end in prompts)
    output_tokens = sum(end.output_tokens for end in ends)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": prompt_tokens + output_tokens,
        "prompt_tokens_details": {"cached_tokens": sum(end.cached_tokens for end in prompts)},
        "completion_tokens_details": {
            "reasoning_tokens": sum(end.reasoning_tokens for end in ends)
        },
    }
