"""Tool calls of Llama 3: an answer that is nothing but JSON, or what follows ``<|python_tag|>``.

``{"name": …, "parameters": {…}}``; several are separated by semicolons.
"""

from localfp4.text.parsers.parser import NEW_ANSWER, Opening, Tools
from localfp4.text.parsers.plain_json import PlainJsonParser, read_calls
from localfp4.text.parsers.tagged import Region

PYTHON_TAG = "<|python_tag|>"


class Llama3Parser(PlainJsonParser):
    """Knows what may stand before calls."""

    def __init__(self, tools: Tools, opening: Opening = NEW_ANSWER) -> None:
        super().__init__([Region(PYTHON_TAG, "", read_calls)] if tools else [], tools, opening)
