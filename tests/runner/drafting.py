"""Models that draft, and engines that check every draft there is."""

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import torch
from transformers.modeling_layers import MtpModel

from localfp4.checkpoint.index import open_checkpoint
from localfp4.checkpoint.text_part import text_part
from localfp4.config import PAGE_SIZE, EngineConfig
from localfp4.engine.engine import Engine
from localfp4.engine.load import LoadedModel, load_model
from localfp4.engine.sequence import Sequence
from localfp4.engine.speculation import DraftModel, Speculator
from localfp4.models.decoder import Decoder
from localfp4.models.families import decoder_spec, renames
from localfp4.models.load import load_decoder
from localfp4.runner.drawn import DrawnStep, Proposer
from localfp4.runner.propose_draft import draft_proposer
from localfp4.runner.propose_mtp import mtp_proposer
from localfp4.runner.runner import Runner
from tests.models import tiny

CPU = torch.device("cpu")
_T = TypeVar("_T")
_NAMES = {"enorm": "pre_fc_norm_embedding", "hnorm": "pre_fc_norm_hidden", "eh_proj": "fc"}


class Eager(Speculator):
    """Takes every draft there is room for, whatever it costs."""

    def _best(
        self, rate: float, room: int, rows: int, tokens: float, *, making: bool, alike: int = 1
    ) -> int:
        return room


class Prophet(Eager):
    """Knows the answers, and spoils some of the tokens it proposes."""

    def __init__(self, *, rate: float, model: DraftModel | None = None) -> None:
        super().__init__(look_up=True, model=model)
        self.answers: dict[str, list[int]] = {}
        self._spoilt = Random(4)
        self._rate = rate

    def propose(self, sequence: Sequence, room: int) -> tuple[int, ...]:
        super().propose(sequence, 0)
        done = sequence.output_len
        coming = self.answers[sequence.id][done : done + min(room, self._spoilt.randrange(1, 6))]
        return tuple(
            token if self._spoilt.random() < self._rate else (token + 1) % 250 for token in coming
        )

    def observe(self, sequence: Sequence, drafted: int, accepted: int) -> None:
        self.drafted += drafted
        self.accepted += accepted


@dataclass(frozen=True)
class Recorder:
    """Keeps what was proposed after which tokens."""

    inner: Proposer
    proposed: list[tuple[list[int], list[int]]] = field(default_factory=list)

    def propose(self, step: DrawnStep) -> torch.Tensor:
        drafts = self.inner.propose(step)
        drawing = [item for item in step.work if item.draw is not None]
        rows = zip(drawing, step.accepted.tolist(), step.latest.tolist(), drafts, strict=True)
        for item, accepted, latest, guesses in rows:
            known = [*item.tokens[: item.end], *item.drafts[:accepted], latest]
            # Those beyond the sequence's pages were made without the tokens before them.
            room = len(item.pages[0]) * PAGE_SIZE - len(known) + 1
            if len(guesses[:room]):
                self.proposed.append((known, guesses[:room].tolist()))
        return drafts


def save_with_head(root: Path, vocab: int = 256) -> Path:
    """Save a tiny Qwen3.5 with a head for multi-token prediction."""
    torch.manual_seed(0)
    changes = {
        "vocab_size": vocab,
        "num_hidden_layers": 2,
        "layer_types": ["linear_attention", "full_attention"],
        "num_mtp_layers": 1,
        "mtp_layer_types": ["full_attention"],
    }
    model = tiny.build_from(tiny.complete(tiny.CONFIGS["qwen3_5"] | changes))
    tiny.randomise(model)
    head: Any = MtpModel(model, 1)
    tiny.randomise(head.layers)
    folder = tiny.save(model, root / "plain")
    extra = {_stored_name(name): tensor for name, tensor in head.layers.state_dict().items()}
    return tiny.restored(folder, root / "model", tiny.stored(folder) | extra)


def _stored_name(name: str) -> str:
    _, part, rest = name.split(".", 2)
    if part == "mtp_block":
        return f"mtp.layers.0.{rest}"
    return f"mtp.{_NAMES.get(part, 'norm')}.{rest}"


def result_of(generator: Generator[Any, None, _T]) -> _T:
    while True:
        try:
            next(generator)
        except StopIteration as finished:
            result: _T = finished.value
            return result


def load_alone(folder: Path) -> Decoder:
    """Load a decoder with all that its checkpoint has."""
    checkpoint = open_checkpoint(folder)
    settings = dict(checkpoint.config)
    text = text_part(checkpoint, renames(settings)).checkpoint
    return result_of(load_decoder(text, decoder_spec(settings), torch.float32, CPU))


def config_of(folder: Path, **options: Any) -> EngineConfig:
    settings = {"max_model_len": 256, "kv_cache_tokens": 1024, "threads": 1, **options}
    return EngineConfig(str(folder), dtype="float32", speculation="off", **settings)


def plain_engine(folder: Path, **options: Any) -> Engine:
    config = config_of(folder, **options)
    return Engine(config, result_of(load_model(config)))


def speculating_engine(
    folder: Path,
    *,
    look_up: bool = False,
    model: DraftModel | None = None,
    draft: Path | None = None,
    speculator: Speculator | None = None,
    run_ahead: bool | None = None,
    **options: Any,
) -> Engine:
    """Return an engine that checks all the drafts it can get."""
    config = config_of(folder, **options)
    loaded = result_of(load_model(config))
    speculator = speculator or Eager(look_up=look_up, model=model)
    runner = loaded.runner
    if model is not None:
        decoder, proposer = _proposer(loaded, folder, draft)
        runner = Runner(decoder, runner.caches, CPU, proposer=Recorder(proposer))
    loaded = replace(loaded, speculator=speculator, runner=runner)
    return Engine(config, loaded, run_ahead=run_ahead)


def recorded(engine: Engine) -> list[tuple[list[int], list[int]]]:
    """Return what was proposed after which tokens."""
    proposer = engine._model.runner.proposer
    assert isinstance(proposer, Recorder)
    return proposer.proposed


def _proposer(loaded: LoadedModel, folder: Path, draft: Path | None) -> tuple[Decoder, Proposer]:
    pages = loaded.group_pages[0]
    if draft is None:
        decoder = load_alone(folder)
        return decoder, mtp_proposer(decoder, pages, "float32", CPU)
    decoder, small = loaded.runner.decoder, load_alone(draft)
    return decoder, draft_proposer(small, pages, "float32", CPU, decoder.spec.vocab_size)
