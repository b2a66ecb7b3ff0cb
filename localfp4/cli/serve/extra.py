"""What serving needs besides localfp4 itself."""

from importlib.util import find_spec

from localfp4.errors import UserError

_PACKAGES = ("starlette", "uvicorn", "pydantic", "prometheus_client", "llguidance")


def require_extra() -> None:
    """Make sure, without importing them, that the packages of the extra ``serve`` are there.

    Raises:
        UserError: One of them is missing; the message says what to install.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise UserError(
            f"Serving needs {', '.join(missing)}: run pip install 'localfp4[serve]' first."
        )
