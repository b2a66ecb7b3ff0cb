"""Jobs in threads: their errors are told from the pace of whoever looks at them."""

import pytest

from localfp4.checkpoint.store.crew import watched
from localfp4.messages import LoadProgress


def test_an_error_of_a_job_is_raised_even_if_it_is_a_time_out() -> None:
    def give_up() -> None:
        raise TimeoutError("of the network")

    with pytest.raises(TimeoutError, match="of the network"):
        list(watched(give_up, lambda: LoadProgress("x")))
