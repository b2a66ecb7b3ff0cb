"""The way to the hub: its address, a proxy, a token, and whether it answers."""

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from urllib.request import getproxies, proxy_bypass

from localfp4.doctor.facts import HubFacts
from localfp4.doctor.gather.surroundings import Surroundings
from localfp4.doctor.gather.variables import without_user
from localfp4.logs import redacted, secrets_in

_LIMIT_S = 8.0
_UNAUTHORIZED = 401
_OK = 200
_BROKEN = 500


def hub_facts(around: Surroundings, asks_network: bool) -> HubFacts:
    """Describe the way to the hub; where no token is to be had, only whether it answers is asked."""
    from huggingface_hub import constants

    facts = HubFacts(
        endpoint=without_user(redacted(constants.ENDPOINT)),
        is_offline=bool(constants.HF_HUB_OFFLINE),
        proxy=_has_proxy(constants.ENDPOINT),
        token_origin=token_origin(around.environ),
    )
    if not asks_network or facts.is_offline:
        return facts
    return _asked(facts, constants.ENDPOINT, secrets_in(around.environ))


def token_origin(environ: Mapping[str, str]) -> str:
    """Return the variable or the file that a token comes from, in huggingface_hub's order."""
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if environ.get(variable, "").strip():
            return variable
    from huggingface_hub import constants

    try:
        with open(constants.HF_TOKEN_PATH, encoding="utf-8") as file:
            return str(constants.HF_TOKEN_PATH) if file.read().strip() else ""
    except (OSError, ValueError):
        return ""


def _has_proxy(endpoint: str) -> bool:
    """Say whether the environment, or Windows' or macOS' settings, put a proxy before an address."""
    scheme, _, rest = endpoint.partition("://")
    proxies = getproxies()
    if not (proxies.get(scheme) or proxies.get("all")):
        return False
    return not proxy_bypass(rest.partition("/")[0])


def _asked(facts: HubFacts, endpoint: str, secrets: Collection[str]) -> HubFacts:
    """Ask who the token's owner is: it needs an answer, and knows whether the token is good."""
    from huggingface_hub import get_session
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # lazy there

    try:
        answer = get_session().get(
            f"{endpoint}/api/whoami-v2",
            headers=build_hf_headers() if facts.token_origin else {},
            timeout=_LIMIT_S,
        )
    except Exception as error:  # noqa: BLE001 - the HTTP library's own, which depends on its version
        return replace(facts, is_reachable=False, error=redacted(_words(error), secrets))
    if answer.status_code >= _BROKEN:
        return replace(
            facts, is_reachable=False, error=f"it answers with status {answer.status_code}"
        )
    known = {_OK: True, _UNAUTHORIZED: False}.get(answer.status_code)
    return replace(facts, is_reachable=True, is_token_valid=known if facts.token_origin else None)


def _words(error: Exception) -> str:
    """Return an error's first line, or the system's own words where it has some."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno:
            return cause.strerror or os.strerror(cause.errno)
        cause = cause.__cause__ or cause.__context__
    return str(error).strip().partition("\n")[0] or type(error).__name__
