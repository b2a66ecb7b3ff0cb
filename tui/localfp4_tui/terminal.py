"""Which driver reads the terminal."""

from textual.driver import Driver


def tolerant(driver: type[Driver]) -> type[Driver]:
    """Return a driver that works as another does, and that no byte of a paste can end."""
    if driver.__name__ != "LinuxDriver":
        return driver
    from localfp4_tui.tolerant_driver import TolerantDriver  # needs termios, which Windows lacks

    return TolerantDriver
