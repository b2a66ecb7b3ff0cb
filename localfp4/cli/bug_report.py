"""Where the traceback of a bug goes; imported only once there is one."""

import os
import sys
import tempfile
import traceback
from datetime import datetime
from pathlib import Path

from localfp4 import __version__
from localfp4.cli.verbose import option_names
from localfp4.logs import log_folder, redacted, secrets_in

_KEEP_BYTES = 1 << 20


def write_report(error: Exception) -> Path:
    """Append the traceback to a log and return its path; ``os.devnull`` if nothing is writable."""
    entry = f"--- {datetime.now():%Y-%m-%d %H:%M:%S} {_typed()}\n{render(error)}"
    entry = redacted(entry, secrets_in(os.environ))
    for folder in (log_folder(), Path(tempfile.gettempdir())):
        path = folder / "localfp4-errors.log"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            mode = "w" if path.exists() and path.stat().st_size > _KEEP_BYTES else "a"
            with path.open(mode, encoding="utf-8", errors="replace") as log:
                log.write(entry)
        except OSError:
            continue
        return path
    return Path(os.devnull)


def render(error: Exception) -> str:
    """Return the traceback as text."""
    return "".join(traceback.format_exception(error))


def _typed() -> str:
    """Return the command with the names of its options, and no prompts: it is to be sent in."""
    from localfp4.cli.entry import COMMANDS

    known = {word for name in COMMANDS for word in name.split()}
    words = [word for word in sys.argv[1:3] if word in known]
    return " ".join([f"localfp4 {__version__}:", *words, *option_names(sys.argv[1:])])
