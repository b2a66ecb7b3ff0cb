"""Whether a server answers at all."""

import http.client

from localfp4.remote.address import Address
from localfp4.remote.errors import ServerError


def health(address: Address, timeout_s: float) -> int | None:
    """Return the status of ``/health``, as vLLM and localfp4 have it; ``None`` without an answer."""
    try:
        connection = address.connection(timeout_s)
    except ServerError:
        return None
    try:
        connection.request("GET", f"{address.above}/health")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
