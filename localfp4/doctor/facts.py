"""What was found out about a computer; plain values, so that any computer can be written down.

``None`` is what could not be found out. Nothing here asks anything.
"""

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

SystemKind = Literal["linux", "windows", "macos"]
Installer = Literal["pip", "uv", "uv-tool", "pipx", "conda"]
PackageManager = Literal["apt", "dnf", "pacman", "zypper", "apk"]
KernelOutcome = Literal["ran", "wrong", "failed", "not tried"]
Colours = Literal["none", "16", "256", "24-bit"]


@dataclass(frozen=True, slots=True)
class SystemFacts:
    """The operating system and the computer.

    Attributes:
        kind: Which system; WSL is Linux.
        name: Such as ``Ubuntu 24.04.3 LTS`` or ``Windows 11 24H2 (26100)``.
        machine: Such as ``x86_64`` or ``AMD64``.
        wsl: 1 or 2 within Windows' subsystem for Linux.
        container: Such as ``docker``; empty outside of one.
        package_manager: Of a Linux, as far as its commands are known.
        memory_bytes: Main memory; within WSL or a container, what it may take.
        free_memory_bytes: What of it is available.
        on_battery: Whether a laptop runs on its battery; ``None`` also without one.
        long_paths: Whether Windows takes paths of more than 260 characters.
        vcredist: Version of Visual C++'s runtime on Windows, such as ``14.44``; empty where it
            is missing.
    """

    kind: SystemKind
    name: str
    machine: str
    wsl: int | None = None
    container: str = ""
    package_manager: PackageManager | None = None
    memory_bytes: int | None = None
    free_memory_bytes: int | None = None
    on_battery: bool | None = None
    long_paths: bool | None = None
    vcredist: str | None = None


@dataclass(frozen=True, slots=True)
class PythonFacts:
    """The interpreter that runs this program, and how the program came to it.

    Attributes:
        version: Such as ``3.12.4``.
        executable: Its path.
        installer: What installed localfp4.
        environment: Folder of the virtual environment, or of conda's; empty for the system's own
            Python.
        is_managed: Whether the system forbids pip to change it (PEP 668).
        has_headers: Whether ``Python.h`` is there, which Triton compiles with on Linux.
        compiler: The C compiler that Triton would find on Linux; empty where there is none.
        localfp4: Version of this program.
    """

    version: str
    executable: str
    installer: Installer = "pip"
    environment: str = ""
    is_managed: bool = False
    has_headers: bool | None = None
    compiler: str | None = None
    localfp4: str = ""


@dataclass(frozen=True, slots=True)
class DriverFacts:
    """NVIDIA's driver.

    Attributes:
        version: Such as ``581.29``; ``None`` where no driver answers.
        cuda: The newest CUDA that it runs, such as ``(13, 0)``.
        error: What NVML says where it is there and does not work.
        has_hardware: Whether the system lists a device by NVIDIA, driver or not.
        kernel_module: Driver that Linux uses for it instead, such as ``nouveau``; else empty.
        hides_that_of_windows: Whether a driver for Linux was installed within WSL, whose libraries
            are found before those that Windows' driver brings.
    """

    version: str | None = None
    cuda: tuple[int, int] | None = None
    error: str = ""
    has_hardware: bool | None = None
    kernel_module: str = ""
    hides_that_of_windows: bool = False


@dataclass(frozen=True, slots=True)
class HolderFacts:
    """A program that holds memory of a card; ``used_bytes`` is ``None`` where nobody tells."""

    pid: int
    name: str
    used_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """A graphics card as the driver knows it.

    Attributes:
        index: As ``nvidia-smi`` counts, from 0.
        name: As the driver has it.
        capability: Compute capability times ten.
        total_bytes: All of its memory.
        free_bytes: What no program uses.
        is_chosen: Whether localfp4 takes this one by itself.
        drives_display: Whether a display is in use on it.
        bar1_bytes: How much of its memory the processor can address; all of it with Resizable BAR.
        most_pcie_generation: That card and slot can use; cards idle at a lower one.
        pcie_lanes: Of its link now.
        most_pcie_lanes: That the card could use.
        is_exclusive: Whether only one program may compute on it, or none.
        holders: Programs that hold its memory, the largest first.
    """

    index: int
    name: str
    capability: int
    total_bytes: int
    free_bytes: int
    is_chosen: bool = False
    drives_display: bool | None = None
    bar1_bytes: int | None = None
    most_pcie_generation: int | None = None
    pcie_lanes: int | None = None
    most_pcie_lanes: int | None = None
    is_exclusive: bool | None = None
    holders: tuple[HolderFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class TorchFacts:
    """PyTorch, asked in a process of its own.

    Attributes:
        version: By its metadata, such as ``2.13.0+cu130``; ``None`` where it is not installed.
        cuda: What CUDA it was built for, such as ``13.0``; empty for a CPU build.
        arch_list: What it has machine code for, such as ``sm_120``.
        sees_gpus: How many GPUs it can use; ``None`` where it could not be imported.
        error: Why it could not be imported, or not be used; its last line.
        wants_triton: The version of Triton that its metadata asks for; empty where none.
    """

    version: str | None = None
    cuda: str = ""
    arch_list: tuple[str, ...] = ()
    sees_gpus: int | None = None
    error: str = ""
    wants_triton: str = ""


@dataclass(frozen=True, slots=True)
class TritonFacts:
    """Triton, and a kernel of this program that was compiled and run in a process of its own.

    Attributes:
        distribution: ``triton`` or ``triton-windows``; empty where none is installed.
        version: By its metadata.
        others: Further distributions that overwrite the same files.
        kernel: What became of the kernel.
        kernel_s: How long compiling and running took.
        error: Why it failed; the last line.
        cache_folder: Where compiled kernels lie.
        is_cache_writable: Whether they can be kept.
    """

    distribution: str = ""
    version: str | None = None
    others: tuple[str, ...] = ()
    kernel: KernelOutcome = "not tried"
    kernel_s: float | None = None
    error: str = ""
    cache_folder: str = ""
    is_cache_writable: bool | None = None


@dataclass(frozen=True, slots=True)
class CacheFacts:
    """The cache of the hub, and the disk that it is on.

    Attributes:
        folder: Where models are kept.
        origin: Why there: a variable such as ``HF_HOME``, or ``default``.
        is_writable: Whether models can be written.
        free_bytes: Of its disk.
        file_system: Such as ``ext4``, ``NTFS``, ``9p``.
        is_spinning: Whether it is a hard disk.
        has_links: Whether files can be links there, so that versions share what is equal.
        models: How many models are complete.
        model_bytes: What they take.
        unfinished_bytes: What downloads that were broken off take.
    """

    folder: str
    origin: str = "default"
    is_writable: bool | None = None
    free_bytes: int | None = None
    file_system: str = ""
    is_spinning: bool | None = None
    has_links: bool | None = None
    models: int = 0
    model_bytes: int = 0
    unfinished_bytes: int = 0

    @property
    def is_on_windows_drive(self) -> bool:
        """Whether it lies on a drive of Windows, seen from WSL, which is slow."""
        parts = PurePath(self.folder).parts
        return len(parts) > 2 and parts[1] == "mnt" and len(parts[2]) == 1


@dataclass(frozen=True, slots=True)
class HubFacts:
    """The way to the hub.

    Attributes:
        endpoint: Its address.
        is_offline: Whether a variable forbids asking it.
        is_reachable: Whether it answered; ``None`` where it was not asked.
        error: Why it did not.
        proxy: Whether a proxy stands between, by the environment.
        token_origin: Where a token was found, such as ``HF_TOKEN``; empty where there is none.
        is_token_valid: Whether the hub knows the token; one that it does not know keeps even public
            models away. ``None`` where it was not asked.
    """

    endpoint: str = "https://huggingface.co"
    is_offline: bool = False
    is_reachable: bool | None = None
    error: str = ""
    proxy: bool = False
    token_origin: str = ""
    is_token_valid: bool | None = None


@dataclass(frozen=True, slots=True)
class TerminalFacts:
    """The terminal that the chat would draw on.

    Attributes:
        is_terminal: Whether there is one.
        program: Such as ``Windows Terminal``, ``kitty``, ``tmux``; empty where it does not tell.
        colours: How many.
        encoding: Of its text.
        has_kitty_keys: Whether it tells Shift+Enter from Enter; ``None`` where it was not asked.
        columns: Its width.
        lines: Its height.
    """

    is_terminal: bool = False
    program: str = ""
    colours: Colours = "none"
    encoding: str = "utf-8"
    has_kitty_keys: bool | None = None
    columns: int = 80
    lines: int = 24


@dataclass(frozen=True, slots=True)
class Facts:
    """A whole computer.

    Attributes:
        settings_error: Why the configuration file cannot be used; empty where it can, or is none.
        variables: Environment variables that change what this program does, without secrets.
        gaps: Areas that could not be asked, each with why; such as a disk that does not answer.
    """

    system: SystemFacts
    python: PythonFacts
    driver: DriverFacts = DriverFacts()
    gpus: tuple[GpuFacts, ...] = ()
    torch: TorchFacts = TorchFacts()
    triton: TritonFacts = TritonFacts()
    cache: CacheFacts = CacheFacts(folder="")
    hub: HubFacts = HubFacts()
    terminal: TerminalFacts = TerminalFacts()
    settings_error: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    gaps: tuple[str, ...] = ()
