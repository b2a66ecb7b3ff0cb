"""Configuration for other programs: it must survive a shell and a YAML parser as it stands."""

import subprocess

import pytest
import yaml

from localfp4.server.clients.configuration import CLIENTS, Endpoint, configuration

ODD = Endpoint("http://127.0.0.1:8000", "it's a/model $HOME", "k'e\"y", 8192)


def exported(text: str, *names: str) -> list[str]:
    """What a POSIX shell makes of lines of ``export``."""
    lines = [line for line in text.splitlines() if line.startswith("export ")]
    script = "\n".join([*lines, *(f'printf "%s\\0" "${name}"' for name in names)])
    done = subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True)
    return done.stdout.split("\0")[:-1]


def test_claude_code_asks_the_server_for_everything() -> None:
    text = configuration("claude", ODD)
    values = exported(
        text,
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_MODEL",
        "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    )
    assert values == [ODD.url, ODD.key, "", ODD.model, ODD.model]
    assert text.endswith("\nclaude")


def test_aider() -> None:
    text = configuration("aider", ODD)
    assert exported(text, "OPENAI_API_BASE", "OPENAI_API_KEY") == [f"{ODD.url}/v1", ODD.key]
    command = text.splitlines()[-1].replace("aider", 'printf "%s\\0"')
    done = subprocess.run(["sh", "-c", command], check=True, capture_output=True, text=True)
    assert done.stdout.split("\0")[:2] == ["--model", f"openai/{ODD.model}"]


def test_open_webui() -> None:
    values = exported(configuration("openwebui", ODD), "OPENAI_API_BASE_URL", "OPENAI_API_KEY")
    assert values == [f"{ODD.url}/v1", ODD.key]


def test_continue_reads_yaml() -> None:
    document = yaml.safe_load(configuration("continue", ODD))
    (model,) = document["models"]
    assert document["schema"] == "v1"
    assert (model["provider"], model["model"], model["apiKey"]) == ("openai", ODD.model, ODD.key)
    assert model["apiBase"] == "http://127.0.0.1:8000/v1"
    assert model["defaultCompletionOptions"] == {"contextLength": 8192}


@pytest.mark.parametrize("client", CLIENTS)
def test_programs_that_insist_on_a_key_get_one(client: str) -> None:
    assert "none" in configuration(client, Endpoint("http://127.0.0.1:8000", "demo"))


@pytest.mark.parametrize("client", ["claude", "aider", "openwebui"])
def test_powershell(client: str) -> None:
    text = configuration(client, Endpoint("http://127.0.0.1:8000", "it's", "k", None, "powershell"))
    assert "$env:" in text
    assert "export " not in text
    assert "it''s" in text
