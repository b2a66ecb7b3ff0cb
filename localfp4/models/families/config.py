"""Reading a ``config.json`` with every surprise named; knows no particular family."""

from typing import Any

from localfp4.errors import CheckpointError, UnsupportedModelError


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
        if not isinstance(value, str):
            raise CheckpointError(f"config.json has no '{key}'; the model folder is incomplete.")
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
            raise CheckpointError(
                f"config.json has no '{keys[0]}'; the model folder is incomplete."
            )
        return default

    def number(self, key: str, default: float) -> float:
        """Return a setting that must be a positive number."""
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise CheckpointError(f"config.json: '{key}' must be a positive number, not {value!r}.")
        return float(value)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return a setting that is true or false."""
        return bool(self.get(key, default))

    def require(self, key: str, *allowed: Any, default: Any) -> None:
        """Refuse a setting that would change the arithmetic in a way that is not built."""
        value = self.get(key, default)
        if value not in allowed:
            choices = ", ".join(repr(choice) for choice in allowed)
            raise UnsupportedModelError(
                f"config.json: {key} = {value!r} is not supported; this version knows {choices}."
            )

    def rope(self) -> dict[str, Any]:
        """Return the rotary settings with ``rope_type``, ``rope_theta`` and the partial factor.

        Old checkpoints keep them in ``rope_scaling`` and beside it, new ones in
        ``rope_parameters``; inside the dict wins.
        """
        found = self.get("rope_scaling") or self.get("rope_parameters") or {}
        if not isinstance(found, dict):
            raise CheckpointError("config.json: the rope settings must be an object.")
        settings = dict(found)
        settings["rope_type"] = settings.get("rope_type") or settings.get("type") or "default"
        settings.setdefault("rope_theta", self.get("rope_theta", 10000.0))
        settings.setdefault("partial_rotary_factor", self.get("partial_rotary_factor", 1.0))
        original = self.get("original_max_position_embeddings") or settings.get(
            "original_max_position_embeddings"
        )
        settings["original_max_position_embeddings"] = original or self.count(
            "max_position_embeddings"
        )
        return settings
