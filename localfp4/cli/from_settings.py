"""Options whose default is what the configuration file says; the command line wins."""

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from localfp4.errors import UserError

if TYPE_CHECKING:
    from localfp4.settings import Settings

_log = logging.getLogger(__name__)

_READ = "localfp4.settings"
"""Where what was read is kept for the other options of a command."""

_HEEDED = "localfp4.heeded"
"""And where options are listed that took their value from it."""


class FromSettings(click.Option):
    """An option that a section of the configuration file can set under the same name.

    The file is read when the first such option was not given, so that ``--help`` never reads it.
    """

    def __init__(self, *args: Any, section: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._section = section

    @property
    def key(self) -> str:
        """What ``localfp4 config`` calls the setting."""
        return f"{self._section}.{self.name}"

    def consume_value(
        self, ctx: click.Context, opts: Mapping[str, Any]
    ) -> tuple[Any, ParameterSource]:
        """Return the value and where it comes from.

        Raises:
            SettingsError: The configuration file cannot be used.
        """
        value, source = super().consume_value(ctx, opts)
        if source is not ParameterSource.DEFAULT or ctx.resilient_parsing:
            return value, source
        section: Mapping[str, Any] = getattr(_settings(ctx), self._section)
        if self.name not in section or self._is_overruled(opts):
            return value, source
        ctx.meta.setdefault(_HEEDED, []).append(self)
        _log.info("setting %s = %r", self.key, section[self.name])
        return section[self.name], ParameterSource.DEFAULT_MAP

    def _is_overruled(self, opts: Mapping[str, Any]) -> bool:
        """Say whether what was typed contradicts the setting, so that it cannot be meant."""
        if self._section == "engine" and opts.get("engine") == "vllm":
            return True  # settings of localfp4's own engine
        match self.name:
            case "draft":
                return opts.get("speculate") in ("off", "ngram", "mtp")
            case "speculate":
                return "draft" in opts
            case "device":
                return "gpu" in opts
        return False


def is_from_settings(name: str) -> bool:
    """Say whether an option of the command that runs has its value from the configuration file."""
    context = click.get_current_context(silent=True)
    return context is not None and any(one.name == name for one in context.meta.get(_HEEDED, []))


def explain(error: UserError, ctx: click.Context) -> None:
    """Note which settings an error is about, whose options nobody typed."""
    named = set(re.findall(r"--[a-z-]*[a-z]", str(error)))
    for one in ctx.meta.get(_HEEDED, []):
        if one.opts[0] in named:
            instead = (one.secondary_opts or one.opts)[0]
            error.add_note(
                f"{one.key} stands in {_settings(ctx).path}; {instead} on the command line "
                f"overrides it, and `localfp4 config unset {one.key}` takes it out."
            )


def _settings(ctx: click.Context) -> "Settings":
    if _READ not in ctx.meta:
        from localfp4.settings import read_settings

        ctx.meta[_READ] = read_settings()
    settings: Settings = ctx.meta[_READ]
    return settings
