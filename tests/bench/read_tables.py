"""Tables in Markdown, read as a browser does."""


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def as_tables(text: str) -> list[list[dict[str, str]]]:
    """Return each table's rows, which may be shorter than its heading."""
    found = []
    for block in text.split("\n\n"):
        if block.startswith("|"):
            head, _, *lines = block.splitlines()
            found.append([dict(zip(cells(head), cells(line), strict=False)) for line in lines])
    return found
