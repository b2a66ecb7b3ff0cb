import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import pytest

import localfp4
from localfp4.telemetry import nvml
from localfp4.telemetry.environment import environment


def test_names_what_is_installed() -> None:
    seen = environment(threads=3)
    assert seen.localfp4 == localfp4.__version__
    assert seen.torch == version("torch")
    assert seen.python == ".".join(map(str, sys.version_info[:3]))
    assert seen.threads == 3
    assert seen.gpu is None
    assert seen.driver is None


def test_every_field_is_plain_json() -> None:
    values = asdict(environment(threads=1, gpu="NVIDIA GeForce RTX 4090")).values()
    assert all(isinstance(value, str | int | None) for value in values)


class Nvml:
    def __init__(self, init: int = 0, query: int = 0) -> None:
        self.init, self.query, self.open = init, query, 0

    def nvmlInit_v2(self) -> int:
        self.open += self.init == 0
        return self.init

    def nvmlSystemGetDriverVersion(self, text: Any, size: int) -> int:
        assert size == len(text)
        text.value = b"581.29"
        return self.query

    def nvmlShutdown(self) -> int:
        self.open -= 1
        return 0


@pytest.mark.parametrize(
    ("library", "answer"), [(Nvml(), "581.29"), (Nvml(init=9), None), (Nvml(query=999), None)]
)
def test_driver_version_closes_what_it_opened(library: Nvml, answer: str | None) -> None:
    assert nvml.read_driver_version(library) == answer
    assert library.open == 0


def test_telemetry_needs_no_torch() -> None:
    code = (
        "import sys; from localfp4.telemetry.environment import environment;"
        "from localfp4.telemetry.memory import memory_use;"
        "environment(1); memory_use('cpu'); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
