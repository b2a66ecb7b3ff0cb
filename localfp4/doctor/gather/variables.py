"""Environment variables that change what this program does; secrets among them only by name."""

import re
from collections.abc import Mapping

from localfp4.logs import redacted

_PREFIXES = (
    "CUDA_",
    "HF_",
    "HUGGINGFACE_",
    "HUGGING_FACE_",
    "LOCALFP4_",
    "NVIDIA_",
    "PYTORCH_",
    "TORCH_",
    "TRITON_",
    "XDG_",
)
_NAMES = (
    "ALL_PROXY",
    "CC",
    "COLORTERM",
    "CONDA_DEFAULT_ENV",
    "CONDA_PREFIX",
    "FORCE_COLOR",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "MKL_NUM_THREADS",
    "NO_COLOR",
    "NO_PROXY",
    "OMP_NUM_THREADS",
    "PYTHONHOME",
    "PYTHONIOENCODING",
    "PYTHONPATH",
    "PYTHONUTF8",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "TERM",
    "TERM_PROGRAM",
    "TERM_PROGRAM_VERSION",
    "TRANSFORMERS_OFFLINE",
    "VIRTUAL_ENV",
    "WSLENV",
)

_SECRET = re.compile(r"TOKEN(?!IZERS|_PATH)|KEY|SECRET|PASSWORD|CREDENTIAL|HEADER", re.IGNORECASE)

_ADDRESS = re.compile(r"(PROXY|ENDPOINT|URL)$", re.IGNORECASE)
_USER = re.compile(r"^(\w[\w+.-]*://)?.*@", re.ASCII)


def telling_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that matter, in order, without what nobody else should read."""
    return {
        name: _harmless(name, environ[name])
        for name in sorted(environ)
        if name.upper() in _NAMES or name.upper().startswith(_PREFIXES)
    }


def without_user(address: str) -> str:
    """Return an address without its user and password, which may have any sign in them.

    Proxies are also written without ``http://``.
    """
    return _USER.sub(r"\1…@", address)


def _harmless(name: str, value: str) -> str:
    if _SECRET.search(name):
        return "(set)" if value else ""
    return redacted(without_user(value) if _ADDRESS.search(name) else value)
