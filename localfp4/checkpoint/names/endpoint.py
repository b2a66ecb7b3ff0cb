"""The address of the hub itself, which ``HF_ENDPOINT`` may set to a mirror; stdlib only."""

import os
import re
from urllib.parse import urlsplit

from localfp4.checkpoint.display import shown
from localfp4.errors import ModelNotFoundError

HUB = "https://huggingface.co"

_USER = re.compile(r"(?<=://)[^/]*@")


def hub_address() -> str:
    """Return where models come from.

    Raises:
        ModelNotFoundError: ``HF_ENDPOINT`` is none that can be read: huggingface_hub would not even
            be imported with it.
    """
    address = os.environ.get("HF_ENDPOINT") or HUB
    try:
        _ = urlsplit(address).port
    except ValueError:
        raise ModelNotFoundError(
            f"HF_ENDPOINT is {shown_address(address)}, which is no address; set it to one such as "
            f"{HUB}, or unset it."
        ) from None
    return address


def shown_address(address: str) -> str:
    """Return an address for a message: without the user and the password that it may hold."""
    return shown(_USER.sub("", address))
