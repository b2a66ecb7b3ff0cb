"""Takes secrets out of text that others may read: logs, and reports of bugs."""

import re
from collections.abc import Collection, Mapping

HIDDEN = "…"

_LEAST_SECRET = 6
"""A shorter key is no secret, and would be found within words."""

_SECRET_VARIABLE = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS)S?$", re.IGNORECASE)
_PROXY_VARIABLE = re.compile(r"_PROXY$", re.IGNORECASE)
_PASSWORD_IN_ADDRESS = re.compile(r"://[^/@\s:]*:([^/@\s]+)@")

_NAMES = (
    r"(?:proxy-)?authorization|(?:x-)?api[-_]?key|(?:set-)?cookie|password|passwd|secret"
    r"|(?:access|refresh|auth|hf|id)?[-_]?token|[a-z0-9_]+_(?:(?<!per_)token|api_key|secret|password)"
)

_PATTERNS = (
    # Tokens by how they look: those of the hub, of OpenAI and Anthropic, of GitHub, of JWT's kind.
    re.compile(r"\b(hf_|api_org_|sk-|gh[opsu]_|github_pat_)[\w-]{6,}", re.ASCII),
    re.compile(r"\b(eyJ)[\w-]{8,4000}\.[\w-]{1,4000}\.[\w-]*", re.ASCII),
    # A scheme, and what proves who asks.
    re.compile(r"\b(bearer |basic |digest )[\w.~+/=-]{4,}", re.IGNORECASE | re.ASCII),
    # A name, and what follows it as JSON, a header, a command line or Python has it.
    re.compile(
        rf"((?<!\w)(?:{_NAMES}))"
        r"((?:['\"]?+\s*+[:=]\s*+|['\"],\s*+)(?:b(?=['\"]))?+['\"]?+(?:bearer |basic |digest )?+)"
        r"(?!…)[^\s'\",;&)}\]]+",
        re.IGNORECASE,
    ),
    re.compile(r"(--api-key[= ]['\"]?)(?!…)[^\s'\"]+"),
    # A user and a password before a host.
    re.compile(r"(://)[^/@\s'\"]+@"),
    # What follows an address: downloads are signed there.
    re.compile(r"(\b[a-z][a-z0-9+.-]{0,15}://[^\s?#'\"<>]{1,2000})[?#][^\s'\"<>]+", re.IGNORECASE),
)  # fmt: skip
_REPLACEMENTS = (r"\1…", r"\1…", r"\1…", r"\1\2…", r"\1…", r"\1…@", r"\1?…")


def redacted(text: str, secrets: Collection[str] = ()) -> str:
    """Return a text without keys, tokens, passwords and signatures.

    Args:
        text: Any.
        secrets: Further text that is to be hidden wherever it stands, as :func:`secrets_in` finds it.
    """
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    for pattern, replacement in zip(_PATTERNS, _REPLACEMENTS, strict=True):
        text = pattern.sub(replacement, text)
    return text


def secrets_in(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return what environment variables hold that must not be shown, the longest first."""
    found: set[str] = set()
    for name, value in environment.items():
        if _SECRET_VARIABLE.search(name):
            found.add(value.strip())
        elif _PROXY_VARIABLE.search(name) and (password := _PASSWORD_IN_ADDRESS.search(value)):
            found.add(password[1])
    return tuple(sorted((one for one in found if len(one) >= _LEAST_SECRET), key=len, reverse=True))
