"""What all other libraries have in common as contestants; torch-free."""

from localfp4.bench.engines.contestant import CaseFailedError
from localfp4.bench.peaks import Limits
from localfp4.bench.records import Work
from localfp4.bench.workload import Case


class Peer:
    """Another library, whose work localfp4 does not count and by which it measures no device."""

    def work(self, case: Case) -> Work | None:
        """Return nothing: work is counted for localfp4's own formats."""
        return None

    def limits(self) -> Limits | None:
        """Return nothing: localfp4 measures the device, or it is another computer's."""
        return None


def require_context(case: Case, longest: int) -> None:
    """Refuse what is longer than a model's context.

    Raises:
        CaseFailedError: It is.
    """
    if case.length > longest:
        raise CaseFailedError(
            f"{case.length} tokens exceed the context of {longest}", "does_not_fit"
        )
