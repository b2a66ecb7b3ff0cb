"""PyTorch by its files and by what a process says that imports it, which may go wrong."""

import os
import time
from importlib.metadata import PathDistribution
from pathlib import Path

import psutil
import pytest

from localfp4.doctor.gather.child import PROBES, Asked, ask
from localfp4.doctor.gather.surroundings import this_computer
from localfp4.doctor.gather.torch import torch_facts, torch_told
from tests.doctor.gather.computers import write

CUDA_BUILD = "__version__ = '2.13.0+cu130'\ncuda: Optional[str] = '13.0'\n"
CPU_BUILD = "__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\n"


def installed(root: Path, module: str = CUDA_BUILD, *requirements: str) -> PathDistribution:
    asked = "".join(f"Requires-Dist: {one}\n" for one in requirements)
    write(
        root,
        {
            "torch-2.13.0.dist-info/METADATA": f"Name: torch\nVersion: 2.13.0\n{asked}",
            "torch/version.py": module,
        },
    )
    return PathDistribution(root / "torch-2.13.0.dist-info")


def test_what_it_says_itself(tmp_path: Path) -> None:
    said = {
        "version": "2.13.0+cu130",
        "cuda": "13.0",
        "arch_list": ["sm_75", "sm_120"],
        "gpus": 1,
        "error": "",
    }
    found = torch_told(installed(tmp_path), Asked(answer=said))
    assert (found.version, found.cuda, found.sees_gpus) == ("2.13.0+cu130", "13.0", 1)
    assert (found.arch_list, found.error) == (("sm_75", "sm_120"), "")


@pytest.mark.parametrize(
    ("module", "version", "cuda"),
    [
        (CUDA_BUILD, "2.13.0+cu130", "13.0"),
        (CPU_BUILD, "2.13.0+cpu", ""),
        ("damaged", "2.13.0", ""),
    ],
)
def test_one_that_cannot_be_imported(tmp_path: Path, module: str, version: str, cuda: str) -> None:
    error = "OSError: [WinError 126] Error loading c10.dll or one of its dependencies."
    found = torch_told(installed(tmp_path, module), Asked(error=error))
    assert (found.version, found.cuda) == (version, cuda)
    assert (found.sees_gpus, found.error) == (None, error)


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        ('triton==3.7.1; platform_system == "Linux"', "3.7.1"),
        ("pytorch-triton==3.2.0+git0d4682f0", "3.2.0+git0d4682f0"),
        ("triton (==3.6.0)", "3.6.0"),
        ("filelock", ""),
    ],
)
def test_the_triton_that_it_wants(tmp_path: Path, requirement: str, expected: str) -> None:
    torch = installed(tmp_path, CUDA_BUILD, "sympy>=1.13.3", requirement)
    assert torch_told(torch, Asked()).wants_triton == expected


CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
ADVICE = """
raise RuntimeError("CUDA error: no kernel image is available\\nCompile with `TORCH_USE_CUDA_DSA`.")
"""
ASSEMBLER = """
raise RuntimeError("PTXAS error: Internal Triton PTX codegen error\\n`ptxas` stderr:\\n"
    "ptxas fatal   : Value 'sm_121' is not defined\\n\\nRepro command: ptxas")
"""
COMPILER = """
import sys
print("x.c:1:10: fatal error: Python.h: No such file or directory", file=sys.stderr)
raise SystemError("gcc returned non-zero exit status 1")
"""


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
        (CRASH, "Python was ended by SIGSEGV"),
        ("raise SystemExit(3)", "Python ended with code 3"),
        (COMPILER, "fatal error: Python.h"),
        (ASSEMBLER, "ptxas fatal   : Value 'sm_121'"),
        (ADVICE, "RuntimeError: CUDA error: no kernel image is available"),
        ("print('localfp4-probe {damaged')", "Python ended with code 0"),
    ],
)
def test_probes_that_go_wrong(tmp_path: Path, script: str, error: str) -> None:
    write(tmp_path, {"probe.py": script})
    found = ask(tmp_path / "probe.py", os.environ, 60.0)
    assert error in found.error
    assert found.answer == {}


TWO_CARDS = """
from types import SimpleNamespace

__version__, version = "2.13.0+cu130", SimpleNamespace(cuda="13.0")
_C = SimpleNamespace(_cuda_getArchFlags=lambda: "sm_86")
cuda = SimpleNamespace(
    init=lambda: None, device_count=lambda: 2, get_device_capability=lambda index: CARDS[index]
)

def ones(_, device):
    if device == "cuda:1":
        raise RuntimeError("no kernel image is available")
    return SimpleNamespace(add=lambda _: SimpleNamespace(sum=lambda: SimpleNamespace(item=int)))
"""


@pytest.mark.parametrize(
    ("second", "error"), [((6, 1), ""), ((12, 0), "no kernel image is available")]
)
def test_an_old_card_does_not_speak_for_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: tuple[int, int], error: str
) -> None:
    write(tmp_path, {"torch.py": f"{TWO_CARDS}\nCARDS = [(8, 6), {second}]\n"})
    monkeypatch.syspath_prepend(tmp_path)
    said = ask(PROBES / "torch_import.py", os.environ, 60.0).answer
    assert (said["gpus"], said["error"]) == (2, error)


STARTS_ANOTHER = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
with open(sys.argv[1], "w") as file:
    file.write(str(child.pid))
print("localfp4-probe {}" if len(sys.argv) > 2 else "", flush=True)
time.sleep(0 if len(sys.argv) > 2 else 60)
"""


def test_a_probe_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    write(tmp_path, {"probe.py": STARTS_ANOTHER, "pid": ""})
    for limit_s in (0.3, 3.0, 30.0):  # until it has come to start the other
        found = ask(tmp_path / "probe.py", os.environ, limit_s, [str(tmp_path / "pid")])
        assert f"did not end within {limit_s:g} s" in found.error
        if pid := (tmp_path / "pid").read_text(encoding="ascii"):
            break
    end = time.monotonic() + 30.0
    while not has_ended(int(pid)) and time.monotonic() < end:
        time.sleep(0.01)
    assert has_ended(int(pid))


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_what_a_probe_leaves_behind_is_not_waited_for(tmp_path: Path) -> None:
    write(tmp_path, {"probe.py": STARTS_ANOTHER})
    found = ask(tmp_path / "probe.py", os.environ, 60.0, [str(tmp_path / "pid"), "leave"])
    psutil.Process(int((tmp_path / "pid").read_text(encoding="ascii"))).kill()
    assert found.error == ""


def test_probes_import_what_this_process_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a torch.py in the user's folder nor a file beside the probe counts."""
    script = """
import json, random
from localfp4.doctor.probes import MARK
print("noise")
print(MARK + json.dumps({"file": random.__file__}))
"""
    write(tmp_path, {"random.py": "raise RuntimeError", "probes/random.py": "raise RuntimeError"})
    write(tmp_path, {"probes/probe.py": script})
    monkeypatch.chdir(tmp_path)
    found = ask(tmp_path / "probes/probe.py", os.environ, 60.0)
    assert found.error == ""
    assert str(tmp_path) not in found.answer["file"]


@pytest.mark.slow
def test_the_torch_of_this_computer() -> None:
    import torch

    found = torch_facts(this_computer())
    assert (found.version, found.error) == (torch.__version__, "")
    assert found.sees_gpus == torch.cuda.device_count()
    assert list(found.arch_list) == torch.cuda.get_arch_list()


@pytest.mark.slow
def test_kernels_run_in_the_interpreter_and_fail_without_a_card() -> None:
    interpreted = ask(PROBES / "kernel.py", {**os.environ, "TRITON_INTERPRET": "1"}, 120.0, ["cpu"])
    assert (interpreted.answer["kernel"], interpreted.answer["error"]) == ("ran", "")
    assert interpreted.answer["seconds"] > 0
    compiled = ask(PROBES / "kernel.py", {**os.environ, "TRITON_INTERPRET": "0"}, 120.0, ["cpu"])
    assert compiled.answer == {}
    assert compiled.error
