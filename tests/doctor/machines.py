"""Computers that people have, written down as facts."""

from dataclasses import replace

from localfp4.doctor.facts import (
    CacheFacts,
    DriverFacts,
    Facts,
    GpuFacts,
    HolderFacts,
    HubFacts,
    PythonFacts,
    SystemFacts,
    TerminalFacts,
    TorchFacts,
    TritonFacts,
)

GIB = 2**30
GB = 10**9
CUDA_130 = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120")
CUDA_126 = ("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90")


def card(name: str, capability: int, total_gib: float, free_gib: float, **more: object) -> GpuFacts:
    usual = GpuFacts(
        index=0,
        name=f"NVIDIA {name}",
        capability=capability,
        total_bytes=int(total_gib * GIB),
        free_bytes=int(free_gib * GIB),
        is_chosen=True,
        drives_display=True,
        bar1_bytes=int(total_gib * GIB) + GIB,
        most_pcie_generation=4,
        pcie_lanes=16,
        most_pcie_lanes=16,
        is_exclusive=False,
    )
    return replace(usual, **more)  # type: ignore[arg-type]


UBUNTU = Facts(
    system=SystemFacts(
        kind="linux",
        name="Ubuntu 24.04.3 LTS",
        machine="x86_64",
        package_manager="apt",
        memory_bytes=62 * GIB,
        free_memory_bytes=50 * GIB,
    ),
    python=PythonFacts(
        version="3.12.4",
        executable="/home/kim/llm/.venv/bin/python",
        installer="uv",
        environment="/home/kim/llm/.venv",
        has_headers=True,
        compiler="/usr/bin/gcc",
        localfp4="0.1.0",
    ),
    driver=DriverFacts(version="580.105.08", cuda=(13, 0), has_hardware=True),
    gpus=(card("GeForce RTX 5090", 120, 31.4, 30.6, most_pcie_generation=5),),
    torch=TorchFacts(
        version="2.13.0+cu130",
        cuda="13.0",
        arch_list=CUDA_130,
        sees_gpus=1,
        wants_triton="3.7.1",
    ),
    triton=TritonFacts(
        distribution="triton",
        version="3.7.1",
        kernel="ran",
        kernel_s=2.31,
        cache_folder="/home/kim/.triton/cache",
        is_cache_writable=True,
    ),
    cache=CacheFacts(
        folder="/home/kim/.cache/huggingface/hub",
        is_writable=True,
        free_bytes=412 * GB,
        file_system="ext4",
        is_spinning=False,
        has_links=True,
        models=3,
        model_bytes=27 * GB,
    ),
    hub=HubFacts(is_reachable=True, token_origin="HF_TOKEN"),
    terminal=TerminalFacts(
        is_terminal=True,
        program="kitty",
        colours="24-bit",
        has_kitty_keys=True,
        columns=120,
        lines=40,
    ),
)

OF_WINDOWS = DriverFacts(version="581.29", cuda=(13, 0), has_hardware=True)

WINDOWS = replace(
    UBUNTU,
    driver=OF_WINDOWS,
    system=SystemFacts(
        kind="windows",
        name="Windows 11 24H2 (26100)",
        machine="AMD64",
        memory_bytes=32 * GIB,
        free_memory_bytes=20 * GIB,
        long_paths=True,
        vcredist="14.44",
    ),
    python=PythonFacts(
        version="3.12.4",
        executable=r"C:\Users\Kim Lee\llm\.venv\Scripts\python.exe",
        environment=r"C:\Users\Kim Lee\llm\.venv",
        localfp4="0.1.0",
    ),
    gpus=(card("GeForce RTX 4090", 89, 24.0, 22.9),),
    triton=TritonFacts(
        distribution="triton-windows",
        version="3.7.1.post27",
        kernel="ran",
        kernel_s=3.04,
        cache_folder=r"C:\Users\Kim Lee\.triton\cache",
        is_cache_writable=True,
    ),
    cache=CacheFacts(
        folder=r"C:\Users\Kim Lee\.cache\huggingface\hub",
        is_writable=True,
        free_bytes=150 * GB,
        file_system="NTFS",
        is_spinning=False,
        has_links=True,
    ),
    hub=HubFacts(is_reachable=True),
    terminal=replace(UBUNTU.terminal, program="Windows Terminal", has_kitty_keys=False),
)

CPU_TORCH = TorchFacts(version="2.13.0+cpu", sees_gpus=0)
UNTRIED = replace(WINDOWS.triton, kernel="not tried", kernel_s=None)

MACHINES = {
    "healthy-5090-linux": UBUNTU,
    "4090-windows-cpu-torch": replace(WINDOWS, torch=CPU_TORCH, triton=UNTRIED),
    "driver-too-old": replace(
        UBUNTU,
        python=replace(UBUNTU.python, installer="pipx"),
        driver=DriverFacts(version="550.144.03", cuda=(12, 4), has_hardware=True),
        gpus=(card("GeForce RTX 3080", 86, 9.6, 9.1),),
        torch=replace(
            UBUNTU.torch,
            sees_gpus=0,
            error="The NVIDIA driver on your system is too old (found version 12040).",
        ),
        triton=replace(UBUNTU.triton, kernel="not tried", kernel_s=None),
    ),
    "5080-old-torch": replace(
        UBUNTU,
        python=replace(
            UBUNTU.python,
            installer="uv-tool",
            executable="/home/kim/.local/share/uv/tools/localfp4/bin/python",
            environment="/home/kim/.local/share/uv/tools/localfp4",
        ),
        gpus=(card("GeForce RTX 5080", 120, 15.5, 14.9, most_pcie_generation=5),),
        torch=TorchFacts(version="2.10.0+cu126", cuda="12.6", arch_list=CUDA_126, sees_gpus=1),
        triton=replace(
            UBUNTU.triton,
            version="3.6.0",
            kernel="failed",
            kernel_s=None,
            error="no kernel image is available for execution on the device",
        ),
    ),
    "wsl-on-mnt-c": replace(
        UBUNTU,
        system=replace(
            UBUNTU.system, wsl=2, memory_bytes=int(7.6 * GIB), free_memory_bytes=6 * GIB
        ),
        driver=OF_WINDOWS,
        gpus=(card("GeForce RTX 4070", 89, 12.0, 10.9),),
        cache=replace(
            UBUNTU.cache,
            folder="/mnt/c/Users/kim/.cache/huggingface/hub",
            origin="HF_HOME",
            file_system="9p",
            has_links=False,
        ),
        terminal=replace(UBUNTU.terminal, program="Windows Terminal", has_kitty_keys=False),
    ),
    "no-gpu": replace(
        UBUNTU,
        system=replace(UBUNTU.system, name="Debian GNU/Linux 13 (trixie)"),
        driver=DriverFacts(has_hardware=False),
        gpus=(),
        torch=CPU_TORCH,
        triton=TritonFacts(),
        hub=HubFacts(is_offline=True),
        terminal=TerminalFacts(),
    ),
    "windows-without-vcredist": replace(
        WINDOWS,
        system=replace(WINDOWS.system, vcredist="", long_paths=False),
        torch=TorchFacts(
            version="2.13.0+cu130",
            cuda="13.0",
            error="OSError: [WinError 126] The specified module could not be found. Error loading "
            r'"C:\Users\Kim Lee\llm\.venv\Lib\site-packages\torch\lib\c10.dll" or one of its '
            "dependencies.",
        ),
        triton=UNTRIED,
    ),
    "windows-two-tritons": replace(
        WINDOWS,
        triton=replace(UNTRIED, distribution="triton", version="3.6.0", others=("triton-windows",)),
    ),
    "laptop-on-battery": replace(
        WINDOWS,
        system=replace(WINDOWS.system, on_battery=True),
        gpus=(
            card(
                "GeForce RTX 4060 Laptop GPU",
                89,
                8.0,
                4.4,
                bar1_bytes=256 * 2**20,
                pcie_lanes=4,
                most_pcie_lanes=8,
                holders=(
                    HolderFacts(4211, "chrome", int(1.4 * GIB)),
                    HolderFacts(9120, "steamwebhelper", GIB),
                    HolderFacts(1033, "dwm", None),
                ),
            ),
        ),
        cache=replace(
            WINDOWS.cache, free_bytes=9 * GB, has_links=False, unfinished_bytes=int(3.2 * GB)
        ),
    ),
    "nouveau-fedora": replace(
        UBUNTU,
        system=replace(UBUNTU.system, name="Fedora Linux 43 (Workstation)", package_manager="dnf"),
        python=replace(
            UBUNTU.python,
            installer="conda",
            executable="/home/kim/miniforge3/envs/llm/bin/python",
            environment="/home/kim/miniforge3/envs/llm",
            compiler="",
        ),
        driver=DriverFacts(has_hardware=True, kernel_module="nouveau"),
        gpus=(),
        torch=replace(UBUNTU.torch, sees_gpus=0),
    ),
    "5060-driver-before-triton": replace(
        WINDOWS,
        driver=DriverFacts(version="572.83", cuda=(12, 8), has_hardware=True),
        gpus=(card("GeForce RTX 5060 Ti", 120, 15.5, 14.9, pcie_lanes=4, most_pcie_lanes=8),),
        torch=replace(UBUNTU.torch, version="2.11.0+cu128", cuda="12.8", wants_triton=""),
        triton=replace(UNTRIED, kernel="failed", error="device kernel image is invalid"),
    ),
    "old-card": replace(
        UBUNTU,
        driver=DriverFacts(version="470.256.02", cuda=(11, 4), has_hardware=True),
        gpus=(card("GeForce GTX 1060 6GB", 61, 5.9, 5.4, is_chosen=False),),
        torch=replace(UBUNTU.torch, sees_gpus=0),
    ),
    "no-compiler-two-cards": replace(
        UBUNTU,
        python=replace(
            UBUNTU.python,
            installer="pip",
            executable="/usr/bin/python3.12",
            environment="",
            is_managed=True,
            has_headers=False,
            compiler="",
        ),
        gpus=(
            card("GeForce RTX 3090", 86, 23.6, 23.2),
            card("GeForce GTX 1060 6GB", 61, 5.9, 5.0, index=1, is_chosen=False),
        ),
        torch=replace(UBUNTU.torch, version="2.11.0+cu130", wants_triton="3.6.0"),
        triton=replace(
            UBUNTU.triton,
            kernel="failed",
            kernel_s=None,
            error="Failed to find C compiler. Please specify via CC environment variable.",
            is_cache_writable=False,
        ),
        settings_error="/home/kim/.config/localfp4/config.toml, line 3: there is no setting 'temprature'.",
    ),
}
"""By the name of the golden report."""
