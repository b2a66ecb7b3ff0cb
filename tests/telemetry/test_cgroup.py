from pathlib import Path

import pytest

from localfp4.telemetry.cgroup import MemoryLimit, cpu_quota, memory_limit

V1_UNLIMITED = "9223372036854771712"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="ascii")
    return root


def test_no_control_groups_means_no_limits(tmp_path: Path) -> None:
    assert memory_limit(tmp_path) is None
    assert cpu_quota(tmp_path) is None


def test_v2_ancestor_binds_where_the_own_group_is_unlimited(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/user.slice"
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/user.slice/app.scope",
            f"{group}/app.scope/memory.max": "max",
            f"{group}/app.scope/memory.current": "500",
            f"{group}/memory.max": "8000",
            f"{group}/memory.current": "5000",
            f"{group}/app.scope/cpu.max": "max 100000",
            f"{group}/cpu.max": "150000 100000",
        },
    )
    assert memory_limit(tmp_path) == MemoryLimit(limit_bytes=8000, free_bytes=3000)
    assert cpu_quota(tmp_path) == 1.5


def test_tightest_of_nested_limits(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a/b",
            "sys/fs/cgroup/a/memory.max": "9000",
            "sys/fs/cgroup/a/memory.current": "8500",
            "sys/fs/cgroup/a/b/memory.max": "4000",
            "sys/fs/cgroup/a/b/memory.current": "1000",
        },
    )
    assert memory_limit(tmp_path) == MemoryLimit(limit_bytes=4000, free_bytes=500)


def test_file_cache_of_the_group_is_free(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/",
            "sys/fs/cgroup/memory.max": "8000",
            "sys/fs/cgroup/memory.current": "7000",
            "sys/fs/cgroup/memory.stat": "anon 1000\ninactive_file 6000\nactive_file 0",
        },
    )
    assert memory_limit(tmp_path) == MemoryLimit(limit_bytes=8000, free_bytes=7000)


def test_v1_of_a_container_that_sees_its_hosts_path(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n1:name=systemd:/",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "6000",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "2000",
            "sys/fs/cgroup/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 500",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
    )
    assert memory_limit(tmp_path) == MemoryLimit(limit_bytes=6000, free_bytes=4500)
    assert cpu_quota(tmp_path) == 4.0


def test_v1_unlimited_is_larger_than_any_computer(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/\n2:cpu:/",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": V1_UNLIMITED,
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "2000",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
    )
    limit = memory_limit(tmp_path)
    assert limit is not None
    assert limit.limit_bytes > 2**60
    assert cpu_quota(tmp_path) is None


@pytest.mark.parametrize("text", ["", "max", "garbage", "0 0"])
def test_unreadable_figures_are_no_limit(tmp_path: Path, text: str) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/",
            "sys/fs/cgroup/memory.max": text,
            "sys/fs/cgroup/cpu.max": text,
        },
    )
    assert memory_limit(tmp_path) is None
    assert cpu_quota(tmp_path) is None
