"""The script that measures plans, which is no module of a package."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parents[2] / "assets/bench/plan_vs_measured.py"


def plan_script() -> Any:
    spec = importlib.util.spec_from_file_location("plan_vs_measured", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
