"""What a route is given."""

from dataclasses import dataclass

from localfp4.server.engine import ServedEngine
from localfp4.server.settings import ServerSettings


@dataclass(frozen=True, slots=True)
class Serving:
    """One model, served.

    Attributes:
        engine: Answers.
        settings: What was decided when the server started.
        created: When that was, in seconds since 1970.
    """

    engine: ServedEngine
    settings: ServerSettings
    created: int

    @property
    def model(self) -> str:
        """The name that answers bear."""
        return self.settings.name_of(self.engine.info().name)
