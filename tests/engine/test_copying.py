"""The demo repeats what it has read: the same text, in far fewer steps."""

from dataclasses import replace

from localfp4.config import EngineConfig
from localfp4.engine.engine import Engine
from localfp4.engine.load import load_model
from tests.engine.copying import PASSAGE, copy_heavy, timed
from tests.runner.drafting import Eager, result_of


def test_a_copy_heavy_answer_takes_far_fewer_steps() -> None:
    config = EngineConfig("demo", device="cpu", threads=1, max_model_len=512)
    loaded = result_of(load_model(config))
    tokenizer = loaded.prompts.tokenizer
    assert tokenizer is not None
    request = copy_heavy(tokenizer.encode(PASSAGE), tokens=128)
    without, with_drafts = (
        timed(Engine(config, replace(loaded, speculator=speculator)), request)
        for speculator in (None, Eager(look_up=True))
    )
    assert with_drafts.token_ids == without.token_ids
    assert len(without.token_ids) == 128
    assert with_drafts.steps < 0.7 * without.steps
