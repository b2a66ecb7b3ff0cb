"""Reading the commit of a checkout, against what git itself lays down."""

import shutil
import subprocess
from pathlib import Path

import pytest

from localfp4.telemetry.commit import checked_out_commit, running_commit

COMMIT = "5f2d5aebd059bfb3f0c12f4e5c76c03376d3668d"
OTHER = "0" * 40


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    "files",
    [
        {".git/HEAD": f"{COMMIT}\n"},
        {".git/HEAD": "ref: refs/heads/a/b\n", ".git/refs/heads/a/b": f"{COMMIT}\n"},
        {
            ".git/HEAD": "ref: refs/heads/main\n",
            ".git/packed-refs": f"# pack-refs\n{OTHER} refs/heads/other\n{COMMIT} refs/heads/main\n",
        },
        {
            ".git": "gitdir: main/.git/worktrees/w\n",
            "main/.git/worktrees/w/HEAD": "ref: refs/heads/w\n",
            "main/.git/worktrees/w/commondir": "../..\n",
            "main/.git/refs/heads/w": f"{COMMIT}\n",
        },
    ],
)
def test_where_git_keeps_a_commit(tmp_path: Path, files: dict[str, str]) -> None:
    assert checked_out_commit(written(tmp_path, files)) == COMMIT


@pytest.mark.parametrize(
    "files",
    [
        {},
        {".git/HEAD": ""},
        {".git/HEAD": "ref: refs/heads/main\n"},
        {".git/HEAD": "ref: refs/heads/main\n", ".git/packed-refs": f"{OTHER} refs/heads/other\n"},
        {".git": "gitdir: nowhere\n"},
    ],
)
def test_no_commit_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    assert checked_out_commit(written(tmp_path, files)) is None


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_agrees(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "--quiet")
    assert checked_out_commit(tmp_path) is None, "nothing is committed yet"
    git("commit", "--quiet", "--allow-empty", "--message", "first")
    head = git("rev-parse", "HEAD")
    assert checked_out_commit(tmp_path) == head
    git("pack-refs", "--all")
    git("worktree", "add", "--quiet", str(tmp_path / "tree"))
    assert checked_out_commit(tmp_path) == checked_out_commit(tmp_path / "tree") == head


def test_this_program_knows_its_own() -> None:
    commit = running_commit()
    assert commit is None or len(commit) in (40, 64)
