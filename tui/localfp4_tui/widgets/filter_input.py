"""A line to filter a list with; the space bar is left to the list, since names have no blanks."""

from textual.widgets import Input


class FilterInput(Input):
    """An input that types everything but blanks."""

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Say whether a key is typed; a blank is a key of the screen's."""
        return key != "space" and super().check_consume_key(key, character)
