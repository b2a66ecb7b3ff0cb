"""Which layers are recomputed together, and which models cannot be trained."""

import dataclasses

import pytest

from localfp4.errors import RequestError, UnsupportedModelError
from localfp4.models.families import decoder_spec
from localfp4.models.spec import AttentionSpec, DecoderSpec
from localfp4.quantize.distilling.segments import require_trainable, segments_of
from localfp4.quantize.recipe import CalibrationSource, Recipe
from tests.models.configs import BASE, spec
from tests.models.configs_latent import CONFIGS as LATENT


def sharing(readers: dict[int, int], layers: int = 6) -> DecoderSpec:
    """A model whose layers read the keys and values of earlier ones."""
    plain = spec(num_hidden_layers=layers)
    changed = list(plain.layers)
    for reader, source in readers.items():
        mixer = changed[reader].mixer
        assert isinstance(mixer, AttentionSpec)
        shared = dataclasses.replace(mixer, shares_kv_of=source)
        changed[reader] = dataclasses.replace(changed[reader], mixer=shared)
    return dataclasses.replace(plain, layers=tuple(changed))


@pytest.mark.parametrize(
    ("readers", "expected"),
    [
        ({}, [1, 1, 1, 1, 1, 1]),
        ({3: 2}, [1, 1, 2, 1, 1]),
        ({4: 2, 5: 3}, [1, 1, 4]),
        ({1: 0, 5: 4}, [2, 1, 1, 2]),
        ({5: 0}, [6]),
    ],
)
def test_segments(readers: dict[int, int], expected: list[int]) -> None:
    found = segments_of(sharing(readers))
    assert [len(one) for one in found] == expected
    assert [index for one in found for index in one] == list(range(6))


def test_latent_attention_is_refused_in_a_sentence() -> None:
    _, settings = next(iter(LATENT.items()))
    latent = decoder_spec({k: v for k, v in (BASE | settings).items() if v is not ...})
    with pytest.raises(UnsupportedModelError, match=r"^Model has latent attention .* --distil\.$"):
        require_trainable(latent, Recipe(distil="all"), "Model")
    require_trainable(latent, Recipe(), "Model")
    require_trainable(spec(), Recipe(distil="all"), "Model")


def test_one_window_of_text_is_too_few() -> None:
    recipe = Recipe(distil="scales", calibration=CalibrationSource(samples=1))
    with pytest.raises(RequestError, match=r"one is too few; use --samples 128"):
        require_trainable(spec(), recipe, "Model")
