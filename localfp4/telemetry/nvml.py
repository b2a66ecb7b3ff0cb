"""NVIDIA's management library as nvidia-ml-py binds it, without exceptions; needs no torch.

The library is one for the whole process and counts who has it open, so that several may.
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Any


class Nvml:
    """An open library. What a driver does not tell, too old or of a lost card, is ``None``.

    A context manager that closes it; may be asked from any thread.
    """

    def __init__(self, pynvml: Any) -> None:
        """Take over the module of nvidia-ml-py, which was initialised."""
        self._pynvml = pynvml

    @classmethod
    def open(cls) -> "Nvml | None":
        """Initialise it; ``None`` where no driver answers."""
        import pynvml

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:
            return None
        return cls(pynvml)

    def close(self) -> None:
        """Let go of the driver."""
        self.ask("nvmlShutdown")

    def __enter__(self) -> "Nvml":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def ask(self, function: str, *arguments: Any) -> Any:
        """Call a function of nvidia-ml-py, which is named as the library's own.

        One that a version of it must be chosen for is called by that, such as ``..._v3``: it
        would be an error of another kind where the driver has no such version.
        """
        call = getattr(self._pynvml, function, None)
        try:
            return None if call is None else call(*arguments)
        except (self._pynvml.NVMLError, UnicodeDecodeError):
            return None

    def cards(self) -> Iterator[tuple[int, Any]]:
        """Yield the index of each card that answers, as ``nvidia-smi`` counts, and its handle."""
        for index in range(self.ask("nvmlDeviceGetCount") or 0):
            handle = self.ask("nvmlDeviceGetHandleByIndex", index)
            if handle is not None:
                yield index, handle

    def card(self, uuid: str) -> Any:
        """Return the handle of the card of a UUID, which may lack the prefix ``GPU-``."""
        return next((handle for _, handle in self.cards() if self._has(handle, uuid)), None)

    def _has(self, handle: Any, uuid: str) -> bool:
        return bool(uuid) and (self.ask("nvmlDeviceGetUUID", handle) or "").endswith(uuid)


def driver_version() -> str | None:
    """Return the version of the NVIDIA driver, or ``None`` where there is none."""
    nvml = Nvml.open()
    if nvml is None:
        return None
    with nvml:
        version: str | None = nvml.ask("nvmlSystemGetDriverVersion")
        return version
