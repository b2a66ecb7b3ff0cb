"""What the memory plan says against what a process really holds, as the script prints it."""

import sys

import pytest

from tests.models.plan_script import plan_script

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot reset the peak"),
]


@pytest.mark.parametrize(
    ("model", "context", "conversations", "batch", "dtype"),
    [
        ("demo", 1024, 16, 16, "float32"),
        ("synthetic:qwen3-30b-a3b:1", 256, 1, 1, "bfloat16"),
    ],
)
def test_a_process_holds_what_was_planned(
    model: str, context: int, conversations: int, batch: int, dtype: str
) -> None:
    script = plan_script()
    found = script.measure(script.Case(model, "cpu", context, conversations, batch, dtype))
    assert found.measured <= found.planned <= 1.1 * found.measured
