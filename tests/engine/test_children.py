"""Starting child processes: what Windows is told of Ctrl-C meanwhile."""

import pytest

from localfp4.engine.children import ctrl_c_ignored


class Kernel32:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, bool]] = []

    def SetConsoleCtrlHandler(self, handler: object, add: bool) -> int:
        self.told.append((handler, add))
        return 1


def test_ctrl_c_is_ignored_while_a_child_starts_and_heard_again() -> None:
    kernel32 = Kernel32()
    with ctrl_c_ignored(kernel32):
        assert kernel32.told == [(None, True)]
    assert kernel32.told == [(None, True), (None, False)]


def test_ctrl_c_is_heard_again_where_a_child_cannot_be_started() -> None:
    kernel32 = Kernel32()
    with pytest.raises(OSError, match="no more processes"), ctrl_c_ignored(kernel32):
        raise OSError("no more processes")
    assert kernel32.told[-1] == (None, False)
