"""Llama 2 and 3, and the many models saved as such."""

from localfp4.models.families.common import attention_spec, decoder, mlp_spec
from localfp4.models.families.config import CheckpointConfig
from localfp4.models.spec import DecoderSpec, LayerSpec


def decoder_spec(config: CheckpointConfig) -> DecoderSpec:
    """Read a ``llama`` config."""
    bias = config.flag("attention_bias")
    layer = LayerSpec(
        attention_spec(config, qkv_bias=bias, out_bias=bias),
        mlp_spec(config, bias=config.flag("mlp_bias")),
    )
    return decoder(config, (layer,) * config.layers(), norm_eps=1e-6)
