"""Scripts that try what may be broken, each in a process of its own; they import it themselves."""

MARK = "localfp4-probe "
"""What the line with the answer begins with."""
