"""What this program writes down about itself, without secrets; torch-free.

Nothing is written unless ``--verbose`` asks for it. Prompts and answers are never logged, by anybody.
"""

from localfp4.logs.causes import in_one_line
from localfp4.logs.files import new_log_file
from localfp4.logs.folder import log_folder
from localfp4.logs.redaction import redacted, secrets_in
from localfp4.logs.start import logging_beside, start_logging

__all__ = [
    "in_one_line",
    "log_folder",
    "logging_beside",
    "new_log_file",
    "redacted",
    "secrets_in",
    "start_logging",
]
