"""What files that are no text are, told by their first bytes, and what to do with them."""

from pathlib import PurePath

PICTURE = "a picture"
_OFFICE = {
    ".docx": "a Word document",
    ".odt": "a Writer document",
    ".xlsx": "a spreadsheet",
    ".ods": "a spreadsheet",
    ".pptx": "a presentation",
    ".odp": "a presentation",
    ".epub": "a book in EPUB",
}
_SAVE_AS_TEXT = "save it as plain text first"
_UNPACK = "unpack it and attach a text file from it"

_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89PNG\r\n", PICTURE, ""),
    (b"\xff\xd8\xff", PICTURE, ""),
    (b"GIF8", PICTURE, ""),
    (b"II*\x00", PICTURE, ""),
    (b"MM\x00*", PICTURE, ""),
    (b"\x00\x00\x01\x00", PICTURE, ""),
    (b"%PDF-", "a PDF", "copy its text into a text file first"),
    (b"\xd0\xcf\x11\xe0", "an Office document", _SAVE_AS_TEXT),
    (b"PK\x03\x04", "a ZIP archive", _UNPACK),
    (b"\x1f\x8b", "a gzip archive", _UNPACK),
    (b"\xfd7zXZ", "an XZ archive", _UNPACK),
    (b"7z\xbc\xaf", "a 7-Zip archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"ID3", "a sound file", ""),
    (b"OggS", "a sound file", ""),
    (b"fLaC", "a sound file", ""),
    (b"\x1aE\xdf\xa3", "a video", ""),
    (b"\x7fELF", "a program", ""),
    (b"GGUF", "a model", ""),
    (b"SQLite format 3\x00", "a database", ""),
)
_IN_RIFF = {b"WEBP": PICTURE, b"WAVE": "a sound file", b"AVI ": "a video"}
_PICTURE_BRANDS = (b"heic", b"heix", b"heif", b"hevc", b"mif1", b"msf1", b"avif", b"avis")
_PICTURE_NAMES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".heic", ".bmp", ".tiff")


def kind_of(data: bytes, name: str) -> tuple[str, str]:
    """Return what a file is and what to do with it; empty where its first bytes do not tell."""
    if data[4:8] == b"ftyp":
        return (PICTURE if data[8:12] in _PICTURE_BRANDS else "a video"), ""
    if data.startswith(b"RIFF") and data[8:12] in _IN_RIFF:
        return _IN_RIFF[data[8:12]], ""
    suffix = PurePath(name).suffix.lower()
    if data.startswith(b"PK\x03\x04") and suffix in _OFFICE:
        return _OFFICE[suffix], _SAVE_AS_TEXT
    if data.startswith(b"BM") and suffix == ".bmp":
        return PICTURE, ""
    return next(
        ((kind, advice) for magic, kind, advice in _KINDS if data.startswith(magic)), ("", "")
    )


def is_named_as_picture(name: str) -> bool:
    """Say whether a name is that of a picture."""
    return PurePath(name).suffix.lower() in _PICTURE_NAMES
