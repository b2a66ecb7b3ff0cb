"""Commands for each system and installer, and how a shell takes them."""

import shlex
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localfp4.doctor.checks.everything import all_findings
from localfp4.doctor.facts import Facts, Installer, PackageManager
from localfp4.doctor.remedies.python_packages import hub_tool, right_torch, right_triton
from localfp4.doctor.remedies.shell import written
from localfp4.doctor.remedies.system_packages import compiler, driver, python_headers
from localfp4.doctor.versions import TORCH_BUILDS
from tests.doctor.machines import MACHINES, UBUNTU, WINDOWS

LINUX_PYTHON = "/home/kim/llm/.venv/bin/python"
INDEX = "--index-url https://download.pytorch.org/whl/cu130"


def typed(facts: Facts, commands: tuple[tuple[str, ...], ...]) -> list[str]:
    return [written(command, facts.system.kind) for command in commands]


def installed_by(installer: Installer, facts: Facts = UBUNTU) -> Facts:
    return replace(facts, python=replace(facts.python, installer=installer))


@pytest.mark.parametrize(
    ("installer", "lines"),
    [
        (
            "pip",
            [
                f"{LINUX_PYTHON} -m pip uninstall -y torch",
                f"{LINUX_PYTHON} -m pip install {INDEX} 'torch>=2.10,<2.14'",
            ],
        ),
        (
            "conda",
            [
                f"{LINUX_PYTHON} -m pip uninstall -y torch",
                f"{LINUX_PYTHON} -m pip install {INDEX} 'torch>=2.10,<2.14'",
            ],
        ),
        (
            "pipx",
            [
                "pipx runpip localfp4 uninstall -y torch",
                f"pipx runpip localfp4 install {INDEX} 'torch>=2.10,<2.14'",
            ],
        ),
        *(
            (
                installer,
                [
                    f"uv pip install --python {LINUX_PYTHON} --torch-backend cu130 "
                    "--reinstall-package torch 'torch>=2.10,<2.14'"
                ],
            )
            for installer in ("uv", "uv-tool")
        ),
    ],
)
def test_torch_by_each_installer(installer: Installer, lines: list[str]) -> None:
    remedy = right_torch(installed_by(installer))
    assert typed(UBUNTU, remedy.commands) == lines
    assert remedy.is_safe


def test_torch_for_windows_takes_the_triton_that_goes_with_it() -> None:
    facts = replace(
        WINDOWS,
        driver=replace(WINDOWS.driver, version="572.83", cuda=(12, 8)),
        gpus=MACHINES["5080-old-torch"].gpus,
    )
    last = right_torch(facts).commands[-1]
    assert last[-1] == "triton-windows>=3.6,<3.7"
    old = replace(WINDOWS, triton=replace(WINDOWS.triton, version="3.6.0.post26"))
    assert right_torch(old).commands[-1][-1] == "triton-windows>=3.7,<3.8"
    assert "triton" not in " ".join(right_torch(WINDOWS).commands[-1])
    # On Linux torch asks for it itself.
    on_linux = replace(facts, system=UBUNTU.system)
    assert "triton" not in " ".join(right_torch(on_linux).commands[-1])


def test_a_python_of_the_system_is_not_changed_without_being_asked() -> None:
    facts = MACHINES["no-compiler-two-cards"]
    by_uv = installed_by("uv", facts)
    for remedy in (right_torch(facts), right_triton(facts), right_torch(by_uv)):
        assert not remedy.is_safe
        assert all("--break-system-packages" in command for command in remedy.commands)


def test_nothing_that_needs_an_administrator_is_run_by_fix() -> None:
    admin = {"sudo", "winget", "reg", "wsl", "wsl.exe", "nvidia-smi", "start"}
    for facts in MACHINES.values():
        for finding in all_findings(facts):
            for remedy in finding.remedies:
                programs = {command[0] for command in remedy.commands}
                assert not (remedy.is_safe and programs & admin), remedy


def test_without_a_card_torch_comes_for_the_processor() -> None:
    commands = right_torch(installed_by("pip", MACHINES["no-gpu"])).commands
    assert commands[-1][-2] == "https://download.pytorch.org/whl/cpu"


@pytest.mark.parametrize(
    ("manager", "line"),
    [
        ("apt", "sudo apt install python3.12-dev"),
        ("dnf", "sudo dnf install python3-devel"),
        ("pacman", "sudo pacman -S python"),
        ("zypper", "sudo zypper install python3-devel"),
        ("apk", "sudo apk add python3-dev"),
    ],
)
def test_headers_by_each_package_manager(manager: PackageManager, line: str) -> None:
    facts = replace(UBUNTU, system=replace(UBUNTU.system, package_manager=manager))
    assert typed(facts, python_headers(facts).commands) == [line]


def test_a_system_whose_package_manager_is_unknown_is_told_in_words() -> None:
    facts = replace(UBUNTU, system=replace(UBUNTU.system, name="Void", package_manager=None))
    for remedy in (compiler(facts), python_headers(facts), *driver(facts)):
        assert not remedy.commands
        assert not remedy.words.endswith(":")


def test_conda_brings_its_own_compiler() -> None:
    facts = MACHINES["nouveau-fedora"]
    (command,) = compiler(facts).commands
    assert " ".join(command) == (
        "conda install --yes --prefix /home/kim/miniforge3/envs/llm --channel conda-forge gcc"
    )


@pytest.mark.parametrize(
    ("name", "manager", "program"),
    [
        ("Ubuntu 24.04.3 LTS", "apt", "ubuntu-drivers"),
        ("Linux Mint 22.2", "apt", "ubuntu-drivers"),
        ("Fedora Linux 43", "dnf", "akmod-nvidia"),
        ("Arch Linux", "pacman", "nvidia-open"),
    ],
)
def test_driver_by_distribution(name: str, manager: PackageManager, program: str) -> None:
    system = replace(UBUNTU.system, name=name, package_manager=manager)
    (remedy,) = driver(replace(UBUNTU, system=system))
    assert program in remedy.commands[0]


def test_the_driver_of_debian_is_too_old() -> None:
    (remedy,) = driver(MACHINES["no-gpu"])
    assert remedy.commands == ()
    assert "driver-installation-guide" in remedy.words


def test_within_wsl_no_driver_is_installed() -> None:
    (remedy,) = driver(MACHINES["wsl-on-mnt-c"])
    assert "on Windows" in remedy.words
    assert remedy.commands == (("wsl.exe", "--shutdown"),)


def test_hf_is_not_in_the_path_beside_a_tool() -> None:
    def call(installer: Installer) -> str:
        return " ".join(hub_tool(installed_by(installer).python, "auth", "login"))

    assert call("pip") == "hf auth login"
    assert call("uv-tool") == "uvx --from huggingface_hub hf auth login"
    assert call("pipx") == "pipx run --spec huggingface_hub hf auth login"


@given(st.lists(st.text("ab /<>=,'\"$\\;&|*", min_size=1, max_size=8), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_a_posix_shell_gets_the_words_back(words: list[str]) -> None:
    kept = [word.replace("$", "") or "x" for word in words]
    assert shlex.split(written(tuple(kept), "linux")) == kept


def test_words_that_the_shell_is_to_expand_stay_bare() -> None:
    command = ("sudo", "chown", "-R", "$USER", "/mnt/my models")
    assert written(command, "linux") == "sudo chown -R $USER '/mnt/my models'"
    assert written(("mkdir", "~/.cache/x"), "linux") == "mkdir ~/.cache/x"


def test_powershell() -> None:
    program = r"C:\Users\Kim Lee\python.exe"
    assert written((program, "-m", "pip"), "windows") == f'& "{program}" -m pip'
    assert written(("pip", "install", "torch>=2.10,<2.14"), "windows") == (
        'pip install "torch>=2.10,<2.14"'
    )
    assert written(("pip", "$a'b"), "windows") == "pip '$a''b'"
    assert written(("uv", f"a=={TORCH_BUILDS[0].index}"), "windows") == "uv a==cu130"
