"""What each check finds; a healthy computer with one thing changed has one finding more."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from localfp4.doctor.checks.everything import all_findings
from localfp4.doctor.facts import DriverFacts, Facts, HolderFacts, TorchFacts, TritonFacts
from localfp4.doctor.finding import Finding
from tests.doctor.machines import CUDA_126, GB, GIB, MACHINES, UBUNTU, WINDOWS, card


def changed(part: str, **values: Any) -> Callable[[Facts], Facts]:
    return lambda facts: replace(facts, **{part: replace(getattr(facts, part), **values)})


def set_to(**values: Any) -> Callable[[Facts], Facts]:
    return lambda facts: replace(facts, **values)


def bad(facts: Facts) -> list[Finding]:
    return [finding for finding in all_findings(facts) if finding.level != "ok"]


FOUND: list[tuple[Facts, Callable[[Facts], Facts], str, str, str]] = [
    (UBUNTU, changed("system", wsl=1), "wsl-version", "problem", "WSL 1"),
    (UBUNTU, changed("system", free_memory_bytes=GIB), "memory", "warning", "1.0 GiB"),
    (UBUNTU, changed("system", kind="macos"), "platform", "warning", "Mac"),
    (UBUNTU, changed("python", version="3.15.0"), "python-version", "warning", "3.15.0"),
    (UBUNTU, set_to(settings_error="line 3"), "settings", "problem", "configuration"),
    (UBUNTU, set_to(gaps=("cache: no answer within 20 s",)), "models-unknown", "warning", "found"),
    (UBUNTU, set_to(gaps=("Triton: x: y",), triton=TritonFacts()), "triton-unknown", "warning", ""),
    (UBUNTU, set_to(gaps=("torch: x",), torch=TorchFacts()), "torch-unknown", "warning", ""),
    (WINDOWS, changed("system", machine="ARM64"), "platform", "warning", "processor"),
    (WINDOWS, changed("system", long_paths=False), "long-paths", "note", "260"),
    (
        UBUNTU,
        set_to(gpus=(card("GeForce RTX 5090", 120, 31.4, 30.6, is_exclusive=True),)),
        "card-mode",
        "warning",
        "compute",
    ),
    (
        UBUNTU,
        set_to(gpus=(card("GeForce RTX 5090", 120, 31.4, 28.0),)),
        "card-memory",
        "warning",
        "3.4 GiB",
    ),
    (
        UBUNTU,
        set_to(gpus=(card("GeForce RTX 5090", 120, 31.4, 30.6, pcie_lanes=8),)),
        "card-link",
        "note",
        "8 of its 16",
    ),
    (
        UBUNTU,
        set_to(gpus=(card("GeForce RTX 5090", 120, 31.4, 30.6, bar1_bytes=256 * 2**20),)),
        "card-bar",
        "note",
        "256 MiB",
    ),
    (UBUNTU, set_to(torch=TorchFacts()), "torch-missing", "problem", "not installed"),
    (UBUNTU, changed("torch", version="2.9.1+cu130"), "torch-version", "problem", "2.9.1"),
    (UBUNTU, changed("torch", version="2.14.0"), "torch-version", "problem", "2.14.0"),
    (UBUNTU, changed("torch", version="2.13.0+rocm7.0", cuda=""), "torch-build", "problem", "AMD"),
    (UBUNTU, changed("torch", arch_list=CUDA_126), "torch-arch", "problem", "sm_120"),
    (UBUNTU, changed("torch", sees_gpus=0), "torch-gpu", "problem", "sees no card"),
    (
        UBUNTU,
        changed("torch", sees_gpus=None, error="ImportError: libcudart.so.13: cannot open"),
        "torch-import",
        "problem",
        "cannot be imported",
    ),
    (UBUNTU, set_to(triton=TritonFacts()), "triton-missing", "problem", "not installed"),
    (UBUNTU, changed("triton", version="3.8.0"), "triton-version", "problem", "3.8.0"),
    (UBUNTU, changed("triton", version="3.6.0"), "triton-pairing", "warning", "3.6.0"),
    (WINDOWS, changed("triton", distribution="triton"), "triton-system", "problem", "belongs"),
    (
        UBUNTU,
        changed("triton", kernel="wrong", error="wrong numbers"),
        "triton-kernel",
        "problem",
        "wrong",
    ),
    (UBUNTU, changed("torch", error="unspecified launch failure"), "torch-gpu", "problem", "5090"),
    (UBUNTU, changed("hub", is_token_valid=False), "token", "warning", "refuses"),
    (UBUNTU, changed("triton", kernel="failed", error="x"), "triton-kernel", "problem", "compiled"),
    (UBUNTU, changed("triton", is_cache_writable=False), "triton-cache", "warning", "kept"),
    (UBUNTU, changed("cache", is_writable=False), "cache-rights", "problem", "written"),
    (UBUNTU, changed("cache", free_bytes=GB), "disk", "problem", "1.0 GB"),
    (UBUNTU, changed("cache", free_bytes=15 * GB), "disk", "warning", "15 GB"),
    (UBUNTU, changed("cache", file_system="vfat"), "disk-format", "problem", "vfat"),
    (UBUNTU, changed("cache", file_system="nfs4"), "disk-remote", "warning", "nfs4"),
    (UBUNTU, changed("cache", is_spinning=True), "disk-spinning", "note", "hard disk"),
    (UBUNTU, changed("cache", unfinished_bytes=GB), "unfinished", "note", "1.0 GB"),
    (UBUNTU, changed("hub", is_reachable=False), "hub", "warning", "does not answer"),
    (UBUNTU, changed("hub", is_offline=True, token_origin=""), "hub", "note", "HF_HUB_OFFLINE"),
    (UBUNTU, changed("hub", token_origin=""), "token", "note", "No token"),
    (UBUNTU, changed("terminal", colours="16"), "colours", "note", "16 colours"),
    (UBUNTU, changed("terminal", encoding="ascii"), "encoding", "warning", "ascii"),
    (UBUNTU, changed("terminal", columns=60), "size", "note", "80 x 24"),
]


@pytest.mark.parametrize(
    ("facts", "change", "check", "level", "words"), FOUND, ids=[one[2] for one in FOUND]
)
def test_one_thing_that_is_wrong_is_one_finding(
    facts: Facts, change: Callable[[Facts], Facts], check: str, level: str, words: str
) -> None:
    before = bad(facts)
    found = [finding for finding in bad(change(facts)) if finding not in before]
    assert [(one.check, one.level) for one in found] == [(check, level)], found
    assert words in found[0].summary


def remedies(facts: Facts, check: str) -> str:
    (finding,) = (one for one in all_findings(facts) if one.check == check and one.level != "ok")
    return " / ".join(
        " ".join((remedy.words, *(" ".join(one) for one in remedy.commands)))
        for remedy in finding.remedies
    )


def test_a_driver_that_was_updated_while_it_ran_wants_a_restart_first() -> None:
    facts = replace(
        UBUNTU,
        driver=DriverFacts(error="Driver/library version mismatch", has_hardware=True),
        gpus=(),
        torch=replace(UBUNTU.torch, sees_gpus=0),
    )
    assert remedies(facts, "driver").startswith("The driver was updated while it ran: restart")


@pytest.mark.parametrize(
    ("container", "option"), [("docker", "--gpus all"), ("podman", "--device nvidia.com/gpu=all")]
)
def test_containers_get_a_card_by_an_option(container: str, option: str) -> None:
    system = replace(UBUNTU.system, container=container)
    facts = replace(MACHINES["no-gpu"], system=system)
    assert option in remedies(facts, "driver")


def test_a_variable_that_hides_cards_is_named() -> None:
    torch = replace(UBUNTU.torch, sees_gpus=0)
    facts = replace(UBUNTU, torch=torch, variables={"CUDA_VISIBLE_DEVICES": "-1"})
    assert "Unset CUDA_VISIBLE_DEVICES, which is '-1'" in remedies(facts, "torch-gpu")
    assert "modprobe nvidia_uvm" in remedies(replace(UBUNTU, torch=torch), "torch-gpu")


def test_a_runtime_that_is_missing_is_told_once_and_not_where_torch_found_it() -> None:
    machine = MACHINES["windows-without-vcredist"]
    problems = [one.check for one in all_findings(machine) if one.level == "problem"]
    assert problems == ["vcredist"]
    assert "vcredist" not in [one.check for one in bad(changed("system", vcredist="")(WINDOWS))]
    # Its files are there and nothing tells the version, so that nothing is told under System.
    found = changed("system", vcredist=None)(machine)
    assert "pip install" in remedies(found, "torch-import")


def test_libraries_in_a_container_of_wsl_are_those_of_windows() -> None:
    hides = changed("driver", hides_that_of_windows=True)(MACHINES["driver-too-old"])
    assert [(one.check, one.level) for one in bad(hides)] == [
        ("wsl-driver", "problem"),
        ("torch", "note"),
    ]
    assert [one.check for one in bad(changed("system", container="docker")(hides))] == [
        "driver-version",
        "torch",
    ]
    assert bad(changed("driver", hides_that_of_windows=True)(UBUNTU)) == []


def test_a_disk_that_is_to_be_left_is_not_told_of_twice() -> None:
    for file_system in ("vfat", "cifs"):
        facts = changed("cache", has_links=False, file_system=file_system)(UBUNTU)
        assert len(bad(facts)) == 1
    assert "cache-links" not in [one.check for one in bad(MACHINES["wsl-on-mnt-c"])]


def test_a_page_file_that_is_too_small_is_not_a_broken_torch() -> None:
    error = "OSError: [WinError 1455] The paging file is too small for this operation to complete."
    facts = replace(WINDOWS, torch=TorchFacts(version="2.13.0+cu130", error=error))
    told = remedies(facts, "torch-import")
    assert "page file" in told
    assert "pip" not in told


def test_a_torch_that_took_too_long_is_not_installed_anew() -> None:
    torch = TorchFacts(version="2.13.0+cu130", error="it did not end within 120 s")
    told = remedies(replace(WINDOWS, torch=torch), "torch-import")
    assert "Try again" in told
    assert "pip" not in told


def test_a_full_card_is_not_a_broken_one() -> None:
    torch = replace(UBUNTU.torch, error="CUDA out of memory. Tried to allocate 2.00 MiB.")
    assert "doctor --vram" in remedies(replace(UBUNTU, torch=torch), "torch-gpu")


def test_programs_to_close_are_not_parts_of_the_desktop() -> None:
    holders = tuple(HolderFacts(pid, name) for pid, name in enumerate(("dwm", "Explorer", "obs")))
    gpu = card("GeForce RTX 4070", 89, 12.0, 6.0, holders=holders)
    assert "Close obs. /" in remedies(replace(WINDOWS, gpus=(gpu,)), "card-memory")


def test_a_card_that_is_not_taken_is_not_looked_at_closely() -> None:
    other = card("GeForce RTX 3060", 86, 11.6, 2.0, index=1, is_chosen=False, pcie_lanes=1)
    facts = replace(UBUNTU, gpus=(*UBUNTU.gpus, other))
    assert bad(facts) == []
    assert any(one.summary.endswith("free, chosen") for one in all_findings(facts))


def test_what_follows_from_something_else_is_not_told_twice() -> None:
    """A kernel cannot run where torch has no code for the card, or where no compiler is there."""
    for name in ("5080-old-torch", "no-compiler-two-cards"):
        assert "triton-kernel" not in [one.check for one in bad(MACHINES[name])]


def test_a_driver_is_new_enough_for_any_cuda_of_its_major_version() -> None:
    driver = DriverFacts(version="580.65.06", cuda=(13, 0), has_hardware=True)
    torch = replace(UBUNTU.torch, version="2.13.0+cu132", cuda="13.2")
    assert bad(replace(UBUNTU, driver=driver, torch=torch)) == []


@pytest.mark.parametrize(
    ("facts", "check", "words"),
    [
        (changed("hub", is_reachable=False, proxy=True)(UBUNTU), "hub", "HTTPS_PROXY and NO_PROXY"),
        (
            changed("hub", is_reachable=False, endpoint="https://hf-mirror.com")(UBUNTU),
            "hub",
            "HF_ENDPOINT, which is https://hf-mirror.com",
        ),
        (
            changed("cache", origin="default")(MACHINES["wsl-on-mnt-c"]),
            "wsl-drive",
            "or set HF_HOME, to a folder within WSL",
        ),
        (changed("terminal", colours="16")(WINDOWS), "colours", "Windows Terminal"),
        (changed("terminal", encoding="cp437")(WINDOWS), "encoding", "chcp 65001"),
        (
            changed("triton", kernel="failed", error="ImportError: DLL load failed")(WINDOWS),
            "triton-kernel",
            "Microsoft.VCRedist.2015+.x64",
        ),
        (
            changed("torch", sees_gpus=0)(changed("system", container="docker")(UBUNTU)),
            "torch-gpu",
            "install PyTorch anew",
        ),
    ],
)
def test_remedies_depend_on_the_computer(facts: Facts, check: str, words: str) -> None:
    assert words in remedies(facts, check)


def test_healthy_computers_have_nothing_to_mend() -> None:
    assert bad(UBUNTU) == []
    assert [one.check for one in bad(WINDOWS)] == ["token"]


def test_a_driver_too_old_for_any_cuda_is_told_where_torch_is_missing() -> None:
    driver = DriverFacts(version="470.256.02", cuda=(11, 4), has_hardware=True)
    gpu = card("GeForce RTX 3080", 86, 9.6, 9.1)
    facts = replace(UBUNTU, driver=driver, gpus=(gpu,), torch=TorchFacts())
    (finding,) = (one for one in all_findings(facts) if one.check == "driver-version")
    assert "too old for CUDA 12.6, which needs 525 or newer" in finding.summary
    # No build of torch runs with it, so that none is offered in the driver's place.
    assert "torch" not in remedies(facts, "driver-version")
