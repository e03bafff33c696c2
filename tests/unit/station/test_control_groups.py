"""Limits of control groups that are within each other, on trees of files such as kernels show."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.station.control_groups import cpu_limit, folders, memory_limit

Tree = dict[str, str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the tree is mounted."""
    return tmp_path / "cgroup"


def own(root: Path, groups: str, tree: Tree) -> tuple[Path, Path]:
    """A tree of these files, and the file that says in which `groups` this process is."""
    for name, text in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    said = root.with_name("own")
    said.write_text(groups)
    return root, said


V1 = "4:memory:/pod/box\n3:cpuset:/\n1:cpu,cpuacct:/pod/box\n0::/\n"
V2 = "0::/pod/box\n"


@pytest.mark.parametrize(
    ("groups", "tree", "limit"),
    [
        (V2, {"pod/memory.max": "1000", "pod/box/memory.max": "max"}, 1000),
        (V2, {"pod/memory.max": "1000", "pod/box/memory.max": "300"}, 300),
        (V2, {"pod/memory.max": "max", "pod/box/memory.max": "max"}, None),
        (V2, {"pod/other/memory.max": "1", "pod/box/memory.max": "300"}, 300),
        ("0::/\n", {"memory.max": "64"}, 64),  # a container's own root
        (V1, {"memory/pod/memory.limit_in_bytes": "50", "memory/pod/box/memory.limit_in_bytes": "900"}, 50),
        (V1, {"memory/memory.limit_in_bytes": "70"}, 70),  # a container that is told its path outside
        (V1, {"memory/box/memory.limit_in_bytes": "7", "memory/memory.limit_in_bytes": "90"}, 7),
        (V2, {}, None),
    ],
)
def test_the_least_memory_limit_counts(root: Path, groups: str, tree: Tree, limit: int | None) -> None:
    """Of the own group and of all around it, and of no other one."""
    assert memory_limit(*own(root, groups, tree)) == limit


@pytest.mark.parametrize(
    ("groups", "tree", "cores"),
    [
        (V2, {"pod/cpu.max": "250000 100000", "pod/box/cpu.max": "max 100000"}, 3),
        (V2, {"pod/cpu.max": "250000 100000", "pod/box/cpu.max": "50000 100000"}, 1),
        (V2, {"pod/cpu.max": "max 100000"}, None),
        (
            V1,
            {
                "cpu,cpuacct/pod/cpu.cfs_quota_us": "200000",
                "cpu,cpuacct/pod/cpu.cfs_period_us": "100000",
                "cpu,cpuacct/pod/box/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/pod/box/cpu.cfs_period_us": "100000",
            },
            2,
        ),
        (V1, {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        (V1, {"cpu/cpu.cfs_quota_us": "100000"}, None),
    ],
)
def test_the_least_quota_counts(root: Path, groups: str, tree: Tree, cores: int | None) -> None:
    """In whole cores, rounded up: of half a core one is used."""
    assert cpu_limit(*own(root, groups, tree)) == cores


def test_version_2_beside_version_1(root: Path) -> None:
    """It has a folder of its own; a machine without control groups has no limit."""
    assert memory_limit(*own(root, V2, {"unified/pod/box/memory.max": "5"})) == 5
    assert list(folders("memory", root, root / "none")) == []
