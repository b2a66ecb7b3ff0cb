"""Help whose options stand under headings, for commands that have more than a screen of them."""

from collections.abc import Mapping

import click

_ENGINE = "How the model runs"

_SECTIONS: Mapping[str, tuple[str, ...]] = {
    "What is measured": (
        "synthetic",
        "formats",
        "bf16",
        "gguf",
        "preset",
        "batch",
        "input_len",
        "output_len",
        "sweeps",
        "depth",
        "base_url",
        "api_key_env",
    ),
    "How it is measured": ("repeats", "warmup", "seed", "ignore_eos"),
    "Results": (
        "output",
        "out",
        "resume",
        "plot",
        "share",
        "evals",
        "price_kwh",
        "price_hour",
    ),
    "Instead of measuring": ("dry_run", "gpu", "profile", "host"),
    _ENGINE: (),
}
"""Headings, and the names of options below them in their order."""

_HEADING_OF = {name: heading for heading, names in _SECTIONS.items() for name in names}
_PLACE_OF = {name: place for place, name in enumerate(_HEADING_OF)}


class Grouped(click.Command):
    """A command whose help has headings; options that are named below none are the engine's."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each below its heading."""
        found: dict[str, list[tuple[str, str]]] = {heading: [] for heading in _SECTIONS}
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        options.sort(key=lambda one: _PLACE_OF.get(one.name or "", -1))
        for option in options:
            if (record := option.get_help_record(ctx)) is not None:
                found[_HEADING_OF.get(option.name or "", _ENGINE)].append(record)
        for heading, records in found.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
