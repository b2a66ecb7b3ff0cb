"""The key that a server wants, from the environment: command lines are seen by others."""

import os

from localfp4.errors import UserError
from localfp4.remote.address import Address
from localfp4.remote.words import one_line

OPENAI_VARIABLE = "OPENAI_API_KEY"
OWN_VARIABLE = "LOCALFP4_API_KEY"
_OPENAI_HOST = "api.openai.com"


def api_key_from(variable: str | None) -> str | None:
    """Return the key that an environment variable holds.

    Raises:
        UserError: There is no such variable, or it cannot be sent.
    """
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(f"--api-key-env: the environment variable {one_line(variable)} is not set.")
    if not key.isascii() or not key.isprintable():
        raise UserError(f"The key in {one_line(variable)} has characters that no key has.")
    return key


def key_for(address: Address, variable: str | None) -> str | None:
    """Return the key to send to a server.

    Where no variable is named, OpenAI itself gets that of OpenAI, and servers on this computer get
    the one that ``localfp4 serve`` reads. Nobody else gets a key that was not meant for them.

    Raises:
        UserError: The variable that was named holds none.
    """
    if variable is None and address.host == _OPENAI_HOST and address.scheme == "https":
        variable = OPENAI_VARIABLE
    elif variable is None and address.is_here:
        variable = OWN_VARIABLE
    else:
        return api_key_from(variable)
    return api_key_from(variable) if os.environ.get(variable, "").strip() else None
