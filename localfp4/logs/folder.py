"""Where logs are kept."""

from pathlib import Path


def log_folder() -> Path:
    """Return the folder of this user's logs, whether or not it exists yet."""
    from platformdirs import user_log_path

    return user_log_path("localfp4", appauthor=False)
