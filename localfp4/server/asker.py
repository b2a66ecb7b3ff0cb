"""Who asks, and how soon an answer is wanted."""

from collections.abc import Iterable, Mapping

from pydantic import Field
from starlette.requests import Request as HttpRequest

from localfp4.server.fields import Fields, Integer64

_LONGEST_NAME = 256

_CHORES = (
    "Generate a concise, 3-5 word title",
    "Generate 1-3 broad tags",
    "Suggest 3-5 relevant follow-up questions",
    "You are an autocompletion system.",
)
_EMOJI = "Your task is to reflect the speaker's likely facial expression through a fitting emoji."
_CHORE_NAMES = frozenset(
    f"{name}_generation" for name in ("title", "tags", "follow_up", "emoji", "autocomplete")
)


class AskerFields(Fields):
    """What says who asks, and how soon an answer is wanted."""

    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = Field(None, description="flex: when nobody else waits.")
    priority: Integer64 | None = Field(None, description="Above 0: when nobody else waits.")

    def can_wait(self) -> bool:
        """Say whether it may be answered after those who wait for theirs."""
        return self.service_tier == "flex" or (self.priority or 0) > 0

    def client(self, http: HttpRequest) -> str:
        """Return what names who asks."""
        return client_name(http, self.safety_identifier, self.user, self.prompt_cache_key)


def client_name(http: HttpRequest, *names: str | None) -> str:
    """Return the first name that is one, or else where the request comes from."""
    forwarded = http.headers.get("x-openwebui-user-id")
    address = http.client.host if http.client is not None else None
    return next((name for name in (*names, forwarded, address) if name), "")[:_LONGEST_NAME]


def is_chore(headers: Mapping[str, str], texts: Iterable[str], *, streams: bool) -> bool:
    """Recognise what Open WebUI asks for beside a chat: titles, tags, suggestions.

    Its default prompts begin with a heading and one of few sentences
    (``backend/open_webui/config.py``), and it does not stream their answers. Connections can be set
    up to send a header with the name of the task besides. Search queries are none of them: the
    chat waits for these.

    Args:
        headers: Of the request.
        texts: What the messages say.
        streams: Whether the answer is to come in pieces.
    """
    if headers.get("x-openwebui-task") in _CHORE_NAMES:
        return True
    said = list(texts)
    if streams or not said:
        return False
    heading, _, task = said[-1].lstrip().partition("\n")
    is_task = heading.rstrip() == "### Task:" and task.lstrip().startswith(_CHORES)
    return is_task or heading.startswith(_EMOJI)
