"""The user's configuration file: what it may say, where each value comes from, and changing it.

It is read once at the start, checked, and passed down frozen. What a key or a theme is called is for
the screen to check; everything else is checked here. torch-free.
"""

from localfp4.settings.file import PATH_VARIABLE, read_settings, settings_path
from localfp4.settings.kinds import EFFORTS
from localfp4.settings.values import Settings
from localfp4.settings.wrong import SettingsError, likely

__all__ = [
    "EFFORTS",
    "PATH_VARIABLE",
    "Settings",
    "SettingsError",
    "likely",
    "read_settings",
    "settings_path",
]
