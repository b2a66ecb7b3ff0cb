"""Reading a ``config.json`` with every surprise named; knows no particular family."""

from typing import Any, TypeVar

from localfp4.errors import CheckpointError, UnsupportedModelError

_LARGE = 1e30
"""No number of a config comes near; infinities and what overflows float32 do not pass."""

_MOST_LAYERS = 4096

_Item = TypeVar("_Item")


class CheckpointConfig:
    """The settings of a checkpoint, descended into ``text_config`` where there is one."""

    def __init__(self, config: dict[str, Any]) -> None:
        text = config.get("text_config")
        self._values: dict[str, Any] = text if isinstance(text, dict) else config

    def get(self, key: str, default: Any = None) -> Any:
        """Return a setting as it stands; null counts as absent."""
        value = self._values.get(key)
        return default if value is None else value

    def text(self, key: str) -> str:
        """Return a setting that must be a string."""
        value = self.get(key)
        if value is None:
            raise _missing(key)
        if not isinstance(value, str):
            raise CheckpointError(f"config.json: '{key}' must be a string, not {value!r}.")
        return value

    def count(self, *keys: str, default: int | None = None) -> int:
        """Return the first of several names for a positive whole number."""
        for key in keys:
            value = self.get(key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31:
                raise CheckpointError(
                    f"config.json: '{key}' must be a positive whole number, not {value!r}."
                )
            return value
        if default is None:
            raise _missing(keys[0])
        return default

    def layers(self) -> int:
        """Return the number of layers, which nothing else in a config bounds."""
        layers = self.count("num_hidden_layers")
        if layers > _MOST_LAYERS:
            raise CheckpointError(
                f"config.json: {layers} layers are more than any model has ({_MOST_LAYERS})."
            )
        return layers

    def number(self, key: str, default: float | None = None) -> float:
        """Return a setting that must be a positive, finite number."""
        value = self.get(key, default)
        if value is None:
            raise _missing(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LARGE:
            raise CheckpointError(f"config.json: '{key}' must be a positive number, not {value!r}.")
        return float(value)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return a setting that is true or false."""
        value = self.get(key, default)
        if not isinstance(value, bool):
            raise CheckpointError(f"config.json: '{key}' must be true or false, not {value!r}.")
        return value

    def list_of(self, kind: type[_Item], key: str) -> list[_Item]:
        """Return a setting that is a list of one kind of value; absent it is empty."""
        value = self.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
            raise CheckpointError(
                f"config.json: '{key}' must be a list of {kind.__name__} values, not {value!r}."
            )
        return value

    def require(self, key: str, *allowed: Any, default: Any) -> None:
        """Refuse a setting that would change the arithmetic in a way that is not built."""
        value = self.get(key, default)
        if value not in allowed:
            choices = ", ".join(repr(choice) for choice in allowed)
            raise UnsupportedModelError(
                f"config.json: {key} = {value!r} is not supported; this version knows {choices}."
            )

    def rope(self) -> "CheckpointConfig":
        """Return the rotary settings with ``rope_type``, ``rope_theta`` and the original context.

        Old checkpoints keep them in ``rope_scaling`` and beside it, new ones in
        ``rope_parameters``; inside the dict wins, except for the original context.
        """
        found = self.get("rope_scaling") or self.get("rope_parameters") or {}
        if not isinstance(found, dict):
            raise CheckpointError("config.json: the rope settings must be an object.")
        if any(isinstance(value, dict) for value in found.values()):
            raise UnsupportedModelError(
                "config.json: rope settings for each type of layer are not supported yet."
            )
        inside = CheckpointConfig(found)
        return CheckpointConfig(
            found
            | {
                "rope_type": inside.get("rope_type") or inside.get("type") or "default",
                "rope_theta": inside.get("rope_theta", self.get("rope_theta", 10000.0)),
                "partial_rotary_factor": inside.get(
                    "partial_rotary_factor", self.get("partial_rotary_factor", 1.0)
                ),
                "original_max_position_embeddings": self.get(
                    "original_max_position_embeddings",
                    inside.get(
                        "original_max_position_embeddings", self.get("max_position_embeddings")
                    ),
                ),
            }
        )


def _missing(key: str) -> CheckpointError:
    return CheckpointError(f"config.json has no '{key}'; the model folder is incomplete.")
