"""Which programs that hold a card's memory a user can close; torch-free."""

import os
from collections.abc import Iterable

from localfp4.checkpoint.display import shown
from localfp4.telemetry.holder import Holder

_MOST = 3
"""Names in a sentence: the largest few hold nearly all."""

DESKTOP = frozenset(
    {
        *("applicationframehost", "csrss", "dwm", "explorer", "lockapp", "searchhost"),
        *("shellexperiencehost", "shellhost", "sihost", "startmenuexperiencehost", "system"),
        *("systemsettings", "textinputhost", "winlogon", "widgets"),
        *("xorg", "x", "xwayland", "gnome-shell", "mutter", "kwin_wayland", "kwin_x11"),
        *("plasmashell", "ksmserver", "cinnamon", "muffin", "xfwm4", "xfdesktop", "marco"),
        *("sway", "hyprland", "weston", "gamescope", "niri", "labwc", "wayfire", "cosmic-comp"),
        *("gdm", "sddm", "sddm-greeter", "systemd-logind", "nvidia-persistenced"),
    }
)
"""Parts of Windows and of Linux desktops that draw on the card, in lower case."""


def programs_to_close(holders: Iterable[Holder]) -> tuple[str, ...]:
    """Return the names of a few programs, those that hold most first.

    Left out is what has no name, this program with its own processes, and the desktop itself.
    """
    own = _own_processes()
    named = [one for one in holders if one.name and one.pid not in own]
    closable = [shown(one.name) for one in named if one.name.lower() not in DESKTOP]
    return tuple(dict.fromkeys(closable))[:_MOST]


def _own_processes() -> set[int]:
    import psutil

    own = {os.getpid()}
    try:
        own |= {child.pid for child in psutil.Process().children(recursive=True)}
    except (psutil.Error, OSError):  # a process ended meanwhile, or may not be asked
        return own
    return own
