"""Fetches what a model has besides its weights: configs, index, tokenizer, template; torch-free."""

from pathlib import Path

from localfp4.checkpoint.store.connection import PATIENT, Patience
from localfp4.checkpoint.store.hub_library import download_failures
from localfp4.checkpoint.store.plan import DownloadPlan, download_plan
from localfp4.checkpoint.store.refusals import refusal
from localfp4.checkpoint.store.snapshot import SIDE_BY_SIDE, bring, cached
from localfp4.checkpoint.store.wanted import HubModel, is_weights


def fetch_small_files(model: HubModel, patience: Patience = PATIENT) -> Path:
    """Return the snapshot's folder, with everything that localfp4 wants but the weights.

    Raises:
        ModelNotFoundError: They cannot be had.
        UnsupportedModelError: The repository has no weights that localfp4 reads.
    """
    return bring_small_files(download_plan(model, patience), patience)


def bring_small_files(plan: DownloadPlan, patience: Patience = PATIENT) -> Path:
    """Do the same by a plan that is already made.

    Where another version is here whole, the branch stays noted as that one, so that it goes on
    being found offline.

    Raises:
        ModelNotFoundError: They cannot be had.
    """
    small = tuple(file for file in plan.files if not is_weights(file.name))
    try:
        for _ in bring(plan, small, SIDE_BY_SIDE, patience):
            pass
        if cached(plan.model) is None:
            plan.place.point(plan.model.revision)
    except download_failures() as error:
        raise refusal(plan.model.repo_id, plan.model.name, error) from error
    return plan.place.snapshot
