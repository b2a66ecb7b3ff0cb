"""Running tasks of lm_eval, such as HellaSwag, MMLU or GSM8K."""

import difflib
import io
import logging
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from localfp4.errors import RequestError, UserError
from localfp4.evaluate.events import Progress, Tell
from localfp4.evaluate.records import Evaluation, Subject
from localfp4.evaluate.scorer import Scorer
from localfp4.evaluate.task_results import task_items, task_results

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

    from localfp4.evaluate.lm_eval_model import LocalModel

_RESAMPLES = 1000
"""Of the bootstrap, where a metric's standard error has no formula."""

_SEED, _OTHER_SEED = 0, 1234
"""Of lm_eval: of Python's random numbers, and of all others."""

_ALLOWS_CODE = "HF_ALLOW_CODE_EVAL"


@dataclass(frozen=True, slots=True)
class Tasks:
    """Tasks that lm_eval has, and how they are asked.

    Attributes:
        names: Of tasks and of groups of tasks.
        manager: Finds them; it takes seconds to make.
        limit: Items of each task; ``None`` takes all.
        fewshot: Examples before each question; ``None`` leaves that to the task.
        chat_template: Whether to ask through the model's chat template.
        unsafe_code: Whether tasks may run code that the model wrote.
    """

    names: tuple[str, ...]
    manager: "TaskManager"
    limit: int | None = None
    fewshot: int | None = None
    chat_template: bool = False
    unsafe_code: bool = False


def find_tasks(names: Sequence[str], include_path: Path | None = None, **asked: Any) -> Tasks:
    """Look tasks up by their names; before models are loaded, since a name may be wrong.

    Args:
        names: Of tasks and of groups of tasks.
        include_path: A folder with more tasks, a YAML file each.
        **asked: How they are asked: see :class:`Tasks`.

    Raises:
        UserError: lm_eval is missing, or a task is.
    """
    require_lm_eval()
    # It takes seconds to import, and only tasks need it.
    from lm_eval.tasks import TaskManager

    with _in_words(names), _quiet():
        manager = TaskManager(include_path=None if include_path is None else str(include_path))
    _require_known(manager, names)
    return Tasks(tuple(names), manager, **asked)


def run_tasks(
    scorer: Scorer,
    subject: Subject,
    tasks: Tasks,
    tell: Tell | None = None,
) -> Evaluation:
    """Run tasks and return their figures, and the outcome of each item for paired tests.

    Args:
        scorer: The model.
        subject: What results call it.
        tasks: What to ask, and how.
        tell: Told how far it is.

    Raises:
        UserError: A task cannot run.
    """
    from localfp4.evaluate.lm_eval_model import LocalModel

    with _in_words(tasks.names), _code_allowed(tasks.unsafe_code), _quiet() as loudly:
        lm = LocalModel(scorer, None if tell is None else loudly(tell))
        found = _evaluated(lm, tasks)
    notes = []
    if lm.truncated:
        notes.append(
            f"{lm.truncated} prompts of {', '.join(tasks.names)} were longer than the context of "
            f"{scorer.context_tokens} tokens and lost their beginning; raise it with --ctx."
        )
    return Evaluation(
        tuple(task_results(found, tasks.names, subject)),
        tuple(task_items(found, tasks.names, subject)),
        notes=tuple(notes),
    )


def _evaluated(lm: "LocalModel", tasks: Tasks) -> Mapping[str, Any]:
    """Return what lm_eval finds, seeded as its own command is, without a report of the computer."""
    from lm_eval import evaluate

    random.seed(_SEED)
    np.random.seed(_OTHER_SEED)
    torch.manual_seed(_OTHER_SEED)
    loaded = tasks.manager.load([*tasks.names])
    for one in loaded["tasks"].values():
        own = one.get_config("num_fewshot")
        # A task that says 0 cannot do with examples.
        if own is None or (tasks.fewshot is not None and own != 0):
            one.set_config(key="num_fewshot", value=tasks.fewshot or 0)
        one.set_fewshot_seed(seed=_OTHER_SEED)
    found: Mapping[str, Any] = evaluate(
        lm=lm,
        task_dict=loaded,
        limit=tasks.limit,
        apply_chat_template=tasks.chat_template,
        bootstrap_iters=_RESAMPLES,
        confirm_run_unsafe_code=tasks.unsafe_code,
    )
    return found


def require_lm_eval() -> None:
    """Refuse where tasks could not be run.

    Raises:
        UserError: lm_eval is not installed, or cannot be imported.
    """
    try:
        import lm_eval  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"Tasks are run with lm_eval, which cannot be imported ({error}); "
            "pip install 'localfp4[eval]', or leave --tasks out."
        ) from error


def _require_known(manager: "TaskManager", tasks: Sequence[str]) -> None:
    """Check names.

    Raises:
        RequestError: One is of no task.
    """
    known = manager.all_tasks
    for task in tasks:
        if task not in known:
            near = difflib.get_close_matches(task, known, n=3)
            meant = (
                f"did you mean {' or '.join(near)}?" if near else "`lm_eval ls tasks` lists all."
            )
            raise RequestError(f"lm_eval has no task {task}; {meant}")


@contextmanager
def _in_words(tasks: Sequence[str]) -> Iterator[None]:
    """Say in a sentence why tasks cannot be run.

    Raises:
        UserError: In place of what lm_eval, or what it reads data with, raised.
    """
    try:
        yield
    except UserError:
        raise
    except (OSError, ImportError, LookupError, TypeError, ValueError, AssertionError) as error:
        if "marked as unsafe" in str(error):
            raise RequestError(
                f"{', '.join(tasks)} would run code that the model wrote on this computer; "
                "--unsafe-code allows it."
            ) from error
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(f"lm_eval cannot run {', '.join(tasks)}: {reason}") from error


@contextmanager
def _code_allowed(unsafe_code: bool) -> Iterator[None]:
    """Tell the metric that runs code, which asks the environment, that it may."""
    before = os.environ.get(_ALLOWS_CODE)
    if unsafe_code:
        os.environ[_ALLOWS_CODE] = "1"
    try:
        yield
    finally:
        if unsafe_code and before is None:
            del os.environ[_ALLOWS_CODE]


@contextmanager
def _quiet() -> Iterator[Callable[[Tell], Tell]]:
    """Keep lm_eval from warning of defaults, and from bars of progress beside our own.

    Yields:
        What lets a function write to standard error meanwhile.
    """
    logger, shown = logging.getLogger("lm_eval"), sys.stderr
    level = logger.level

    def loudly(tell: Tell) -> Tell:
        def told(step: Progress) -> None:
            with redirect_stderr(shown):
                tell(step)

        return told

    logger.setLevel(logging.ERROR)
    try:
        with redirect_stderr(io.StringIO()):
            yield loudly
    finally:
        logger.setLevel(level)
