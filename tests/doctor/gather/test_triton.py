"""What is installed of Triton, and where it keeps what it compiled."""

from pathlib import Path

import pytest

from localfp4.doctor.gather.child import Asked
from localfp4.doctor.gather.triton import cache_folder, on_card, triton_facts
from tests.doctor.gather.computers import linux, windows


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ({"triton": "3.7.1"}, ("triton", "3.7.1", ())),
        ({}, ("", None, ())),
        ({"triton": "3.7.1", "triton-windows": "3.7.0"}, ("triton", "3.7.1", ("triton-windows",))),
        ({"pytorch-triton": "3.2.0"}, ("pytorch-triton", "3.2.0", ())),
    ],
)
def test_distributions(
    tmp_path: Path, installed: dict[str, str], expected: tuple[str, str | None, tuple[str, ...]]
) -> None:
    found = triton_facts(linux(tmp_path), None, installed.get)
    assert (found.distribution, found.version, found.others) == expected
    assert found.kernel == "not tried"


def test_windows_has_its_own(tmp_path: Path) -> None:
    around = windows(tmp_path, {}, {"TRITON_HOME": str(tmp_path)})
    found = triton_facts(around, None, {"triton": "3.7.1", "triton-windows": "3.7.0.post26"}.get)
    assert (found.distribution, found.others) == ("triton-windows", ("triton",))
    assert found.cache_folder == str(tmp_path / ".triton" / "cache")
    assert found.is_cache_writable


def test_where_compiled_kernels_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/gamer")
    assert cache_folder(linux(tmp_path)) == Path("/home/gamer/.triton/cache")
    assert cache_folder(linux(tmp_path, {"TRITON_HOME": "/big"})) == Path("/big/.triton/cache")
    both = {"TRITON_HOME": "/big", "TRITON_CACHE_DIR": "/fast/t"}
    assert cache_folder(linux(tmp_path, both)) == Path("/fast/t")


@pytest.mark.parametrize(
    ("asked", "kernel", "kernel_s", "error"),
    [
        (Asked({"kernel": "ran", "seconds": 4.5, "error": ""}), "ran", 4.5, ""),
        (Asked({"kernel": "wrong", "seconds": 4.5, "error": "NaN"}), "wrong", 4.5, "NaN"),
        (Asked(error="fatal error: Python.h"), "failed", None, "fatal error: Python.h"),
    ],
)
def test_what_becomes_of_a_kernel(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: Asked,
    kernel: str,
    kernel_s: float | None,
    error: str,
) -> None:
    calls = []

    def ask(probe: Path, environ: dict[str, str], limit_s: float, arguments: list[str]) -> Asked:
        calls.append((environ, arguments))
        return asked

    monkeypatch.setattr("localfp4.doctor.gather.triton.ask", ask)
    around = on_card(linux(tmp_path, {"TRITON_CACHE_DIR": "/kept", "CUDA_VISIBLE_DEVICES": "1"}), 2)
    found = triton_facts(around, "cuda:0", {"triton": "3.7.1"}.get)
    assert (found.kernel, found.kernel_s, found.error) == (kernel, kernel_s, error)
    assert found.cache_folder == "/kept"
    [(environ, arguments)] = calls
    assert arguments == ["cuda:0"]
    assert environ["CUDA_VISIBLE_DEVICES"] == "2"
    assert environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert environ["TRITON_CACHE_DIR"] != "/kept"  # so that the compiler is tried, not the cache


def test_no_kernel_without_triton(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("localfp4.doctor.gather.triton.ask")
    assert triton_facts(linux(tmp_path), "cuda:0", dict[str, str]().get).kernel == "not tried"
