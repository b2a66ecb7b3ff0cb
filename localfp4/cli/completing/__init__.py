"""What a shell is told when somebody presses Tab."""

VARIABLE = "_LOCALFP4_COMPLETE"
"""By which the scripts ask, such as with ``bash_complete``."""
