"""Which system it is: distributions, Windows' builds, WSL, containers, batteries."""

from pathlib import Path

import pytest

from localfp4.doctor.gather.battery import on_battery
from localfp4.doctor.gather.system import system_facts, wsl_version
from localfp4.doctor.gather.windows import has_device_of, long_paths, vcredist, windows_name
from tests.doctor.gather.computers import computer, linux, windows, write

CURRENT = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion"
RUNTIME = r"SOFTWARE\Microsoft\VisualStudio\14.0\VC\Runtimes\x64"
RUNTIME_32 = r"SOFTWARE\WOW6432Node\Microsoft\VisualStudio\14.0\VC\Runtimes\x64"
FILE_SYSTEM = r"SYSTEM\CurrentControlSet\Control\FileSystem"
PCI = r"SYSTEM\CurrentControlSet\Enum\PCI"
WSL2 = "Linux version 6.6.87.2-microsoft-standard-WSL2 (root@439a258ad544) #1 SMP"
WSL1 = "Linux version 4.4.0-26100-Microsoft (Microsoft@Microsoft.com)"


def test_ubuntu(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "etc/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 24.04.3 LTS"\nID=ubuntu\n',
            "proc/version": "Linux version 6.14.0-36-generic (buildd@lcy02)",
            "usr/bin/apt-get": "",
        },
    )
    found = system_facts(linux(tmp_path))
    assert found.name == "Ubuntu 24.04.3 LTS"
    assert found.package_manager == "apt"
    assert (found.wsl, found.container, found.long_paths, found.vcredist) == (None, "", None, None)


def test_arch_without_quotes(tmp_path: Path) -> None:
    write(tmp_path, {"usr/bin/pacman": "", "usr/lib/os-release": "PRETTY_NAME=Arch Linux\n"})
    found = system_facts(linux(tmp_path))
    assert (found.name, found.package_manager) == ("Arch Linux", "pacman")


def test_an_empty_root_raises_nothing(tmp_path: Path) -> None:
    found = system_facts(linux(tmp_path))
    assert found.name.startswith("Linux")
    assert (found.package_manager, found.on_battery, found.wsl) == (None, None, None)


def test_the_memory_is_what_a_container_may_take(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": "4096",
            "sys/fs/cgroup/memory.current": "1000",
        },
    )
    found = system_facts(linux(tmp_path))
    assert (found.memory_bytes, found.free_memory_bytes) == (4096, 3096)


@pytest.mark.parametrize(
    ("version", "expected"), [(WSL2, 2), (WSL1, 1), ("Linux version 6.14.0-36-generic", None)]
)
def test_wsl_by_its_kernel(tmp_path: Path, version: str, expected: int | None) -> None:
    assert wsl_version(linux(tmp_path, proc__version=version)) == expected


def test_wsl_with_a_kernel_of_the_users_own(tmp_path: Path) -> None:
    assert wsl_version(linux(tmp_path, proc__version="Linux version 6.12.1", dev__dxg="")) == 2


@pytest.mark.parametrize(
    ("files", "environ", "expected"),
    [
        ({".dockerenv": ""}, {}, "docker"),
        ({"run/.containerenv": ""}, {}, "podman"),
        ({"run/systemd/container": "lxc\n"}, {}, "lxc"),
        ({"run/systemd/container": "wsl\n"}, {}, ""),
        ({}, {"container": "flatpak"}, "flatpak"),
        ({}, {}, ""),
    ],
)
def test_containers(
    tmp_path: Path, files: dict[str, str], environ: dict[str, str], expected: str
) -> None:
    write(tmp_path, files)
    assert system_facts(linux(tmp_path, environ)).container == expected


def supplies(root: Path, **folders: dict[str, str]) -> None:
    for name, values in folders.items():
        write(root / "sys/class/power_supply" / name, values)


def test_a_laptop_that_is_unplugged(tmp_path: Path) -> None:
    supplies(
        tmp_path,
        AC={"type": "Mains\n", "online": "0\n"},
        BAT0={"type": "Battery\n", "status": "Discharging\n"},
    )
    assert on_battery(linux(tmp_path)) is True


def test_a_laptop_that_charges_over_usb(tmp_path: Path) -> None:
    supplies(
        tmp_path,
        BAT0={"type": "Battery", "status": "Discharging"},  # the card takes more than it gets
        ucsi={"type": "USB", "online": "1"},
    )
    assert on_battery(linux(tmp_path)) is False


def test_the_battery_of_a_mouse_is_not_the_computers(tmp_path: Path) -> None:
    supplies(tmp_path, hidpp={"type": "Battery", "scope": "Device", "status": "Discharging"})
    assert on_battery(linux(tmp_path)) is None


def test_windows_11_calls_itself_10(tmp_path: Path) -> None:
    around = windows(
        tmp_path,
        {
            CURRENT: {
                "ProductName": "Windows 10 Pro",
                "CurrentBuild": "26100",
                "DisplayVersion": "24H2",
            }
        },
    )
    assert windows_name(around) == "Windows 11 24H2 (26100)"


@pytest.mark.parametrize(
    ("product", "build", "expected"),
    [
        ("Windows 10 Home", "19045", "Windows 10 22H2 (19045)"),
        ("Windows Server 2025", "26100", "Windows Server 2025 22H2 (26100)"),
    ],
)
def test_other_windows(tmp_path: Path, product: str, build: str, expected: str) -> None:
    values = {"ProductName": product, "CurrentBuild": build, "DisplayVersion": "22H2"}
    assert windows_name(windows(tmp_path, {CURRENT: values})) == expected


@pytest.mark.parametrize(("value", "expected"), [(1, True), (0, False), (None, False)])
def test_long_paths(tmp_path: Path, value: int | None, expected: bool) -> None:
    around = windows(tmp_path, {FILE_SYSTEM: {"LongPathsEnabled": value}})
    assert long_paths(around) is expected


@pytest.mark.parametrize("key", [RUNTIME, RUNTIME_32])
def test_the_runtime_of_visual_cpp(tmp_path: Path, key: str) -> None:
    around = windows(tmp_path, {key: {"Installed": 1, "Major": 14, "Minor": 44}})
    assert vcredist(around) == "14.44"


def test_the_runtime_is_missing_or_only_its_files_are_there(tmp_path: Path) -> None:
    around = windows(tmp_path, {RUNTIME: {"Installed": 0}}, {"SYSTEMROOT": r"C:\Windows"})
    assert vcredist(around) == ""
    names = ("vcruntime140.dll", "vcruntime140_1.dll", "msvcp140.dll")
    write(tmp_path, {f"Windows/System32/{name}": "" for name in names})
    assert vcredist(around) is None


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        (["VEN_8086&DEV_A780", "VEN_10DE&DEV_2684&SUBSYS_88E21043"], True),
        (["VEN_1002&DEV_744C"], False),
        ([], None),
    ],
)
def test_what_windows_lists_on_pci(
    tmp_path: Path, devices: list[str], expected: bool | None
) -> None:
    around = windows(tmp_path, {rf"{PCI}\{device}": {} for device in devices})
    assert has_device_of(around, "10DE") is expected


def test_other_systems_have_no_registry(tmp_path: Path) -> None:
    around = computer("macos", tmp_path)
    assert has_device_of(around, "10DE") is None
    assert system_facts(around).vcredist is None
