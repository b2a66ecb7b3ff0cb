"""The command line.

Importing this package loads nothing but itself, so that even a Ctrl-C during the imports ends
in an exit code and not in a traceback; what a command needs is imported when it is used.
"""

import sys

EXIT_INTERRUPTED = 130
"""What a shell reports for a program ended by Ctrl-C."""


def main() -> None:
    """Run the command line with the process's arguments and exit with its code."""
    try:
        from localfp4.cli.entry import run_command_line

        code = run_command_line(sys.argv[1:])
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    sys.exit(code)
