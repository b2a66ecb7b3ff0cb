"""lm_eval is a choice, and nobody waits for it who runs no tasks."""

import subprocess
import sys

import pytest

from localfp4.errors import UserError
from localfp4.evaluate.tasks import require_lm_eval


@pytest.mark.slow
def test_nothing_imports_lm_eval_before_tasks_are_run() -> None:
    code = (
        "import sys, localfp4, localfp4.llm, localfp4.evaluate.tasks\n"
        "print(*{'lm_eval', 'datasets', 'transformers'}.intersection(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_without_lm_eval_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(UserError, match=r"pip install 'localfp4\[eval\]', or leave --tasks out"):
        require_lm_eval()
