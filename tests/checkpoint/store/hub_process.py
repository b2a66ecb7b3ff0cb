"""Python in a process of its own, that sees only a hub on this machine and a cache of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from localfp4.checkpoint.store.cache import Repository

RESOLVE = """
import json, os, sys
from huggingface_hub import constants
from localfp4.checkpoint.hub import download
from localfp4.errors import UserError

for model in sys.argv[1:]:
    if "=" in model:
        name, value = model.split("=")
        os.environ[name] = value
        setattr(constants, name, value)
        continue
    steps, seen, folder, error = download(model), [], None, None
    try:
        while True:
            step = next(steps)
            seen.append([step.stage, step.done_bytes, step.total_bytes])
    except StopIteration as end:
        folder = str(end.value)
    except UserError as refused:
        error = f"{type(refused).__name__}: {refused}"
    print(json.dumps({"seen": seen, "folder": folder, "error": error}))
"""

Outcome = dict[str, Any]


def hub_environment(home: Path, url: str, **extra: str) -> dict[str, str]:
    """Return the variables of a process that sees only this hub and this cache."""
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("HF_")},
        "HF_HOME": str(home),
        "HF_ENDPOINT": url,
        "HF_HUB_OFFLINE": "0",
        "TRANSFORMERS_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1,localhost",
        **extra,
    }


def run_elsewhere(code: str, home: Path, url: str, *arguments: str, **extra: str) -> list[Any]:
    """Run Python that prints a line of JSON for each result."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=hub_environment(home, url, **extra),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "%|" not in done.stderr, "huggingface_hub drew a progress bar"
    return [json.loads(line) for line in done.stdout.splitlines()]


def resolve_elsewhere(home: Path, url: str, *models: str, **extra: str) -> list[Outcome]:
    """Resolve models one after the other; ``NAME=value`` is for those behind it."""
    return run_elsewhere(RESOLVE, home, url, *models, **extra)


def repository_in(home: Path, repo_id: str) -> Repository:
    """Return where such a process keeps a model."""
    return Repository(home / "hub" / f"models--{repo_id.replace('/', '--')}")
