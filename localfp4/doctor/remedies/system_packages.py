"""Commands that install what is not Python: drivers, compilers, Microsoft's runtime.

They need an administrator, so that none is safe to run unasked.
"""

from localfp4.doctor.facts import Facts, PackageManager
from localfp4.doctor.finding import Command, Remedy

_INSTALL: dict[PackageManager, Command] = {
    "apt": ("sudo", "apt", "install"),
    "dnf": ("sudo", "dnf", "install"),
    "pacman": ("sudo", "pacman", "-S"),
    "zypper": ("sudo", "zypper", "install"),
    "apk": ("sudo", "apk", "add"),
}

# packages.debian.org, packages.fedoraproject.org, archlinux.org/packages, software.opensuse.org,
# pkgs.alpinelinux.org (2026-11). Debian's python3-dev belongs to its default Python, which need
# not be the one that runs.
_HEADERS: dict[PackageManager, str] = {
    "apt": "python{version}-dev",
    "dnf": "python3-devel",
    "pacman": "python",
    "zypper": "python3-devel",
    "apk": "python3-dev",
}

# learn.microsoft.com/cpp/windows/latest-supported-vc-redist; its name in winget's catalogue.
_VCREDIST = "https://aka.ms/vc14/vc_redist.x64.exe"
_VCREDIST_IN_WINGET = "Microsoft.VCRedist.2015+.x64"

_DRIVERS = "https://www.nvidia.com/drivers"

# That of Debian 13 and its backports is 550.163 (sources.debian.org, 2026-11), too old for CUDA 13
# and for RTX 50.
_FOR_DEBIAN = (
    "its own repository, as https://docs.nvidia.com/datacenter/tesla/driver-installation-guide has "
    "it; that of Debian 13 is older than what PyTorch's CUDA 13 needs."
)


def compiler(facts: Facts) -> Remedy:
    """Return what installs a C compiler on Linux."""
    words = "Install a C compiler:"
    if facts.python.installer == "conda":
        folder = facts.python.environment
        command = (
            "conda",
            "install",
            "--yes",
            "--prefix",
            folder,
            "--channel",
            "conda-forge",
            "gcc",
        )
        return Remedy(words, (command,), is_safe=True)
    return _package(facts, "gcc", words)


def python_headers(facts: Facts) -> Remedy:
    """Return what installs the headers of the running Python on Linux."""
    version = ".".join(facts.python.version.split(".")[:2])
    manager = facts.system.package_manager
    name = _HEADERS[manager].format(version=version) if manager else ""
    return _package(facts, name, f"Install the headers of Python {version}:")


def _package(facts: Facts, name: str, words: str) -> Remedy:
    manager = facts.system.package_manager
    if manager is None:
        return Remedy(f"{words.rstrip(':')} with the package manager of your system.")
    return Remedy(words, ((*_INSTALL[manager], name),))


def vcredist() -> tuple[Remedy, ...]:
    """Return the ways to install Microsoft's C++ runtime."""
    command = ("winget", "install", "--exact", "--id", _VCREDIST_IN_WINGET)
    return (
        Remedy("Install Microsoft's Visual C++ runtime:", (command,)),
        Remedy(f"Or download and run {_VCREDIST}"),
    )


def driver(facts: Facts) -> tuple[Remedy, ...]:
    """Return the ways to install or update NVIDIA's driver."""
    system = facts.system
    if system.wsl:
        return (
            Remedy(
                f"Install the driver on Windows, from {_DRIVERS} or the NVIDIA app, then restart "
                "WSL from Windows; none belongs into WSL itself.",
                (("wsl.exe", "--shutdown"),),
            ),
        )
    if system.kind == "windows":
        return (Remedy(f"Install NVIDIA's current driver with the NVIDIA app, or from {_DRIVERS}"),)
    if system.container:
        return (
            Remedy(f"Install NVIDIA's driver on the computer that runs the container: {_DRIVERS}"),
        )
    if system.package_manager == "apt" and "debian" in system.name.lower():
        return (Remedy(f"Install NVIDIA's current driver from {_FOR_DEBIAN}"),)
    source, command = _driver_package(facts)
    if not command:
        return (Remedy(f"Install the driver of your distribution, or that of {_DRIVERS}"),)
    words = f"Install NVIDIA's current driver{source}, then restart the computer:"
    return (Remedy(words, (command,)),)


def _driver_package(facts: Facts) -> tuple[str, Command]:
    """Return where from and by what NVIDIA's driver is installed; no command where it takes more."""
    name = facts.system.name.lower()
    manager = facts.system.package_manager
    if manager == "apt" and any(one in name for one in ("ubuntu", "mint", "pop!_os", "zorin")):
        # github.com/ubuntu/ubuntu-release-notes/issues/213
        return "", ("sudo", "ubuntu-drivers", "install")
    if manager == "dnf" and "fedora" in name:
        source = " from RPM Fusion (rpmfusion.org/Howto/NVIDIA)"
        return source, ("sudo", "dnf", "install", "akmod-nvidia")
    if manager == "pacman":
        # archlinux.org/news, 2025-12-20: from driver 590 on nvidia-open takes nvidia's place.
        return "", ("sudo", "pacman", "-Syu", "nvidia-open")
    return "", ()
