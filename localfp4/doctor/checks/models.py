"""Where models are kept: room, rights, the disk, and what lies there unfinished."""

from collections.abc import Iterator

from localfp4.doctor.checks.words import gb
from localfp4.doctor.facts import CacheFacts, Facts
from localfp4.doctor.finding import Finding, Remedy

_LITTLE_ROOM = 20 * 10**9
"""Less than a 4-bit model of 30 billion weights takes."""

_NO_ROOM = 2 * 10**9

_LARGEST_FILE = {"vfat": "4 GiB", "fat32": "4 GiB", "msdos": "4 GiB"}
"""Of file systems that cannot hold the usual files of 5 GB (Microsoft's FAT specification)."""

_REMOTE = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "drvfs")


def model_findings(facts: Facts) -> Iterator[Finding]:
    """Tell of the folder that models are downloaded to."""
    cache = facts.cache
    if not cache.folder:
        return
    yield Finding("cache", "models", "ok", _summary(cache))
    yield from _rights(facts)
    yield from _room(cache)
    yield from _disk(facts)
    if cache.unfinished_bytes:
        yield Finding(
            "unfinished",
            "models",
            "note",
            f"Downloads that were broken off take {gb(cache.unfinished_bytes)}",
            "The same download goes on where it stopped.",
            (Remedy("Or delete them:", (("localfp4", "rm", "--unfinished"),)),),
        )


def _summary(cache: CacheFacts) -> str:
    models = "1 model" if cache.models == 1 else f"{cache.models} models"
    told = f"{models}, {gb(cache.model_bytes)}" if cache.models else "no models"
    told = f"{told} in {cache.folder}"
    if cache.origin != "default":
        told += f" ({cache.origin})"
    if cache.free_bytes is None:
        return told
    on = f" on {cache.file_system}" if cache.file_system else ""
    return f"{told}; {gb(cache.free_bytes)} free{on}"


def _rights(facts: Facts) -> Iterator[Finding]:
    cache = facts.cache
    if cache.is_writable is not False:
        return
    remedies = [Remedy("Set HF_HOME to a folder that you may write to.")]
    if facts.system.kind == "linux":
        made = ("sudo", "mkdir", "-p", cache.folder)
        owned = ("sudo", "chown", "-R", "$USER", cache.folder)
        remedies.insert(0, Remedy("Make it yours:", (made, owned)))
    yield Finding(
        "cache-rights",
        "models",
        "problem",
        f"Nothing can be written to {cache.folder}",
        "Models cannot be downloaded.",
        tuple(remedies),
    )


def _room(cache: CacheFacts) -> Iterator[Finding]:
    free = cache.free_bytes
    if free is None or free >= _LITTLE_ROOM:
        return
    yield Finding(
        "disk",
        "models",
        "problem" if free < _NO_ROOM else "warning",
        f"Only {gb(free)} are free on the disk of the models",
        "A 4-bit model takes a little more than half a GB for every billion of its weights.",
        (
            Remedy("See what is here:", (("localfp4", "ls"),)),
            Remedy("Or set HF_HOME to a folder on a larger disk."),
        ),
    )


def _disk(facts: Facts) -> Iterator[Finding]:
    cache = facts.cache
    kind = cache.file_system.lower()
    if kind in _LARGEST_FILE:
        yield Finding(
            "disk-format",
            "models",
            "problem",
            f"The disk of the models is formatted as {cache.file_system}",
            f"Its files end at {_LARGEST_FILE[kind]}; those of models are often larger.",
            (Remedy("Set HF_HOME to a folder on another disk."),),
        )
    elif _is_drive_seen_from_wsl(facts):
        # learn.microsoft.com/windows/wsl/filesystems: store files where the tools run.
        yield Finding(
            "wsl-drive",
            "models",
            "warning",
            f"Models lie on a drive of Windows ({cache.folder}), which WSL reads through a network "
            "protocol",
            "Loading a model takes far longer than from WSL's own disk.",
            (_move_into_wsl(cache),),
        )
    elif kind in _REMOTE:
        yield Finding(
            "disk-remote",
            "models",
            "warning",
            f"Models lie on a network drive ({cache.file_system})",
            "Loading a model takes as long as reading it over the network.",
            (Remedy("Set HF_HOME to a folder on a disk of this computer."),),
        )
    elif cache.is_spinning:
        yield Finding(
            "disk-spinning",
            "models",
            "note",
            "Models lie on a hard disk",
            "Loading one takes as long as reading all of it; an SSD is many times faster.",
            (Remedy("Set HF_HOME to a folder on an SSD."),),
        )
    # What is to be left for another disk anyhow is not to be mended first.
    is_to_be_left = kind in (*_LARGEST_FILE, *_REMOTE) or _is_drive_seen_from_wsl(facts)
    if cache.has_links is False and not is_to_be_left:
        yield from _links(facts)


def _is_drive_seen_from_wsl(facts: Facts) -> bool:
    return bool(facts.system.wsl) and facts.cache.is_on_windows_drive


def _move_into_wsl(cache: CacheFacts) -> Remedy:
    """Return the commands that take the models into WSL's own disk."""
    if cache.origin == "default":
        return Remedy("Move your home folder, or set HF_HOME, to a folder within WSL.")
    return Remedy(
        f"Copy them, and take {cache.origin} out of your shell's profile:",
        (
            ("mkdir", "-p", "~/.cache/huggingface/hub"),
            ("cp", "-r", f"{cache.folder}/.", "~/.cache/huggingface/hub"),
            ("unset", cache.origin),
        ),
    )


def _links(facts: Facts) -> Iterator[Finding]:
    remedies: tuple[Remedy, ...] = ()
    if facts.system.kind == "windows":
        # huggingface.co/docs/huggingface_hub/guides/manage-cache#limitations
        command = ("start", "ms-settings:developers")
        remedies = (Remedy("Switch on Developer Mode in the settings of Windows:", (command,)),)
    yield Finding(
        "cache-links",
        "models",
        "note",
        "Files cannot be links here",
        "Versions of a model that share files take their room twice.",
        remedies,
    )
