"""What to type so that a program uses a server; text that can be copied as it stands.

The names are those of each program's own documentation:
https://code.claude.com/docs/en/llm-gateway, https://aider.chat/docs/llms/openai-compat.html,
https://docs.continue.dev/reference, https://docs.openwebui.com/getting-started/env-configuration.
"""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

CLIENTS = ("openwebui", "claude", "aider", "continue")

_NO_KEY = "none"
"""What programs are given that insist on a key, where the server wants none."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server, as programs reach it.

    Attributes:
        url: Without a path.
        model: What to ask for.
        key: What it wants to know; ``None`` for nothing.
        context: Longest context in tokens, where it is known.
        shell: How lines are written that set variables.
    """

    url: str
    model: str
    key: str | None = None
    context: int | None = None
    shell: Literal["posix", "powershell"] = "posix"

    @property
    def known_key(self) -> str:
        """The key, or something in its place."""
        return self.key or _NO_KEY


def configuration(client: str, endpoint: Endpoint) -> str:
    """Return what makes a program use a server.

    Args:
        client: One of :data:`CLIENTS`.
        endpoint: The server.
    """
    return _WRITERS[client](endpoint)


def _claude(endpoint: Endpoint) -> str:
    # Claude Code asks models of three sizes, for titles too, and has a key of its own come first.
    names = ("OPUS", "SONNET", "HAIKU")
    variables = {
        "ANTHROPIC_BASE_URL": endpoint.url,
        "ANTHROPIC_AUTH_TOKEN": endpoint.known_key,
        "ANTHROPIC_API_KEY": "",
        "ANTHROPIC_MODEL": endpoint.model,
        **{f"ANTHROPIC_DEFAULT_{name}_MODEL": endpoint.model for name in names},
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    return _exports(variables, endpoint) + "\nclaude"


def _aider(endpoint: Endpoint) -> str:
    variables = {
        "OPENAI_API_BASE": f"{endpoint.url}/v1",
        "OPENAI_API_KEY": endpoint.known_key,
    }
    return (
        _exports(variables, endpoint)
        + f"\naider --model {_quoted(f'openai/{endpoint.model}', endpoint)}"
    )


def _openwebui(endpoint: Endpoint) -> str:
    variables = {
        "OPENAI_API_BASE_URL": f"{endpoint.url}/v1",
        "OPENAI_API_KEY": endpoint.known_key,
        "ENABLE_OLLAMA_API": "false",
        "DEFAULT_MODELS": endpoint.model,
    }
    port = endpoint.url.rpartition(":")[2]
    return (
        _exports(variables, endpoint) + "\nopen-webui serve --port 3000\n"
        "\n# Open WebUI in Docker calls this computer host.docker.internal, so start the server with\n"
        f"#   localfp4 serve MODEL --host 0.0.0.0 --port {port} --api-key KEY "
        "--allowed-host host.docker.internal\n"
        f"# and give the container -e OPENAI_API_BASE_URL=http://host.docker.internal:{port}/v1 "
        "-e OPENAI_API_KEY=KEY"
    )


def _continue(endpoint: Endpoint) -> str:
    # JSON is YAML, and needs no rules of its own for quoting.
    lines = [
        "# ~/.continue/config.yaml",
        "name: localfp4",
        "version: 1.0.0",
        "schema: v1",
        "models:",
        f"  - name: {json.dumps(endpoint.model)}",
        "    provider: openai",
        f"    model: {json.dumps(endpoint.model)}",
        f"    apiBase: {json.dumps(f'{endpoint.url}/v1')}",
        f"    apiKey: {json.dumps(endpoint.known_key)}",
        "    roles: [chat, edit, apply]",
        "    capabilities: [tool_use]",
    ]
    if endpoint.context is not None:
        lines += ["    defaultCompletionOptions:", f"      contextLength: {endpoint.context}"]
    return "\n".join(lines)


_WRITERS: Mapping[str, Callable[[Endpoint], str]] = {
    "openwebui": _openwebui,
    "claude": _claude,
    "aider": _aider,
    "continue": _continue,
}


def _exports(variables: Mapping[str, str], endpoint: Endpoint) -> str:
    """Write lines that set variables in a shell."""
    line = "$env:{} = {}" if endpoint.shell == "powershell" else "export {}={}"
    return "\n".join(
        line.format(name, _quoted(value, endpoint)) for name, value in variables.items()
    )


def _quoted(text: str, endpoint: Endpoint) -> str:
    if endpoint.shell == "powershell":
        return "'" + text.replace("'", "''") + "'"
    return shlex.quote(text)
