"""The way to the hub: whether it answers, and whether there is a token."""

from collections.abc import Iterator

from localfp4.doctor.facts import Facts
from localfp4.doctor.finding import Finding, Remedy
from localfp4.doctor.remedies.python_packages import hub_tool

_HUB = "https://huggingface.co"


def network_findings(facts: Facts) -> Iterator[Finding]:
    """Tell of the hub; nothing of a way that was not tried."""
    hub = facts.hub
    name = hub.endpoint.removeprefix("https://").rstrip("/")
    told = f" ({hub.error})" if hub.error else ""
    if hub.is_offline:
        yield Finding(
            "hub",
            "network",
            "note",
            "HF_HUB_OFFLINE is set: nothing is downloaded",
            remedies=(Remedy("Unset it to download models."),),
        )
    elif hub.is_reachable:
        yield Finding("hub", "network", "ok", f"{name} answers{' through a proxy' * hub.proxy}")
    elif hub.is_reachable is False:
        yield Finding(
            "hub",
            "network",
            "warning",
            f"{name} does not answer{' through the proxy' * hub.proxy}",
            f"Models that are here run; none can be downloaded{told}.",
            (_way(hub.endpoint, has_proxy=hub.proxy),),
        )
    if hub.is_token_valid is False:
        yield Finding(
            "token",
            "network",
            "warning",
            f"The hub refuses the token ({hub.token_origin})",
            "With it even open models cannot be downloaded.",
            (Remedy("Take a new one:", (hub_tool(facts.python, "auth", "login"),)),),
        )
    elif hub.token_origin:
        yield Finding("token", "network", "ok", f"a token for the hub ({hub.token_origin})")
    elif not hub.is_offline:
        yield Finding(
            "token",
            "network",
            "note",
            "No token for the hub",
            "Only models whose licence has to be accepted need one.",
            (Remedy("For those:", (hub_tool(facts.python, "auth", "login"),)),),
        )


def _way(endpoint: str, *, has_proxy: bool) -> Remedy:
    if has_proxy:
        return Remedy("Look at HTTPS_PROXY and NO_PROXY: the proxy has to let the hub through.")
    if endpoint.rstrip("/") != _HUB:
        return Remedy(f"Look at HF_ENDPOINT, which is {endpoint}")
    return Remedy("Look at the network, or set HTTPS_PROXY where a proxy is needed.")
