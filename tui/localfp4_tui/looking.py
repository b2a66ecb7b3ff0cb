"""Finding out what the picker tells of a model; no widgets."""

import asyncio

from localfp4.errors import UserError
from localfp4.reports import Choice
from localfp4_tui.backend import Backend
from localfp4_tui.model_row import ModelRow

ASKED = "Its headers are being asked for."


async def look_into(row: ModelRow, backend: Backend) -> None:
    """Fill in what the headers of a model that is here tell, and whether it fits."""
    name = row.entry.name
    try:
        row.facts = await asyncio.to_thread(backend.describe, name)
        row.fit = await asyncio.to_thread(backend.fit, Choice(name))
    except UserError as error:
        row.error = str(error)


async def look_from_afar(row: ModelRow, backend: Backend) -> None:
    """Plan a model that is not here, by the headers that the hub hands out.

    What the hub says is told of that row, whichever is marked by then.
    """
    try:
        row.fit = await asyncio.to_thread(backend.fit, Choice(row.entry.name))
        row.asked = ""
    except UserError as error:
        row.asked = str(error)
