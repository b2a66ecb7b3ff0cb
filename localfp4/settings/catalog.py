"""Every setting that there is: its name, its kind, what it does and what holds without it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localfp4.config import KERNELS, MOST_THREADS, PRECISIONS, SPECULATION
from localfp4.settings import kinds
from localfp4.settings.kinds import Kind
from localfp4.settings.wrong import likely


@dataclass(frozen=True, slots=True)
class Setting:
    """Something that can be set.

    Attributes:
        section: Where it stands in the file.
        name: What it is called there.
        kind: What it may be.
        help: What it does, in a line.
        default: What holds where nobody says; ``None`` where that depends.
    """

    section: str
    name: str
    kind: Kind
    help: str
    default: Any = None

    @property
    def key(self) -> str:
        """What ``localfp4 config`` calls it."""
        return f"{self.section}.{self.name}"


_AUTO = "auto"

SETTINGS = (
    Setting("chat", "theme", kinds.text(), "Colours of the chat; by default those chosen last."),
    Setting("chat", "system", kinds.text(), "Instructions that precede every conversation."),
    Setting("chat", "thinking", kinds.switch_or_auto(), "Reason before answering, or not.", _AUTO),
    Setting("chat", "reasoning_effort", kinds.choice(kinds.EFFORTS), "How much to reason, for models that can be told."),
    Setting("chat", "model", kinds.text(), "What to chat with where no model is named.", "demo"),
    Setting("chat", "ephemeral", kinds.switch(), "Do not save conversations.", False),
    Setting("sampling", "temperature", kinds.any_number(float), "0 always takes the likeliest token; higher is more varied."),
    Setting("sampling", "top_p", kinds.any_number(float), "Keep the likeliest tokens up to this total probability."),
    Setting("sampling", "top_k", kinds.any_number(int), "Keep the K likeliest tokens; 0 keeps all."),
    Setting("sampling", "min_p", kinds.any_number(float), "Drop tokens below this share of the likeliest one's probability."),
    Setting("sampling", "repetition_penalty", kinds.any_number(float), "Above 1 discourages tokens that have occurred."),
    Setting("sampling", "presence_penalty", kinds.any_number(float), "Above 0 discourages tokens that are in the answer."),
    Setting("sampling", "frequency_penalty", kinds.any_number(float), "Likewise, for each time that they are."),
    Setting("sampling", "max_tokens", kinds.any_number(int), "Longest answer."),
    Setting("sampling", "seed", kinds.any_number(int), "Makes answers repeatable."),
    Setting("models", "folders", kinds.list_of_words('a list of folders, ["D:/models"]'), "Where models lie, beside the cache of the hub."),
    Setting("engine", "device", kinds.words('"auto", "cpu", "cuda" or such as "cuda:1"'), "What to run on.", _AUTO),
    Setting("engine", "precision", kinds.choice(PRECISIONS), "Width of weights and activations.", _AUTO),
    Setting("engine", "dtype", kinds.choice(("auto", "float32", "bfloat16", "float16")), "Type to compute in.", _AUTO),
    Setting("engine", "kernels", kinds.choice(KERNELS), "What multiplies.", _AUTO),
    Setting("engine", "kv", kinds.choice(("auto", "fp8", "fp8-static", "bf16")), "Type of the KV cache.", _AUTO),
    Setting("engine", "ctx", kinds.whole(1, or_auto=True), "Longest context in tokens.", _AUTO),
    Setting("engine", "vram_limit", kinds.number(0, is_open=True, or_auto=True), "Most GPU memory to use, in GB.", _AUTO),
    Setting("engine", "speculate", kinds.choice(SPECULATION), "What guesses tokens ahead.", _AUTO),
    Setting("engine", "draft", kinds.words("a model, as text in quotes"), "A smaller model that guesses tokens ahead."),
    Setting("engine", "kv_ram", kinds.number(0, or_auto=True), "Main memory for conversations beside the GPU's, in GB.", _AUTO),
    Setting("engine", "kv_disk", kinds.switch(), "Keep the KV cache of conversations on disk.", False),
    Setting("engine", "eager", kinds.switch(), "Launch every kernel; do not record CUDA graphs.", False),
    Setting("engine", "threads", kinds.whole(1, MOST_THREADS, or_auto=True), "CPU threads.", _AUTO),
    Setting("server", "host", kinds.words('an address such as "127.0.0.1"'), "Address to listen at.", "127.0.0.1"),
    Setting("server", "port", kinds.whole(0, 65535), "Port to listen at; 0 takes a free one.", 8000),
    Setting("server", "allowed_hosts", kinds.list_of_words('a list of names, ["my-pc"]'), "Other names under which clients call this computer."),
    Setting("server", "cors_origins", kinds.list_of_words('a list of addresses, ["http://localhost:3000"]'), "Web pages whose scripts may use the server."),
    Setting("server", "max_batch", kinds.whole(1), "Most answers that are written at once.", 64),
    Setting("server", "queue", kinds.whole(0), "Most requests that may wait.", 256),
    Setting("server", "request_timeout", kinds.number(0, is_open=True), "Longest time for one answer, in seconds.", 600.0),
    Setting("server", "drain_timeout", kinds.number(0), "Time for answers under way at the end, in seconds.", 30.0),
)  # fmt: skip
"""In the order in which they are listed."""

NAMED_BY_THE_USER: Mapping[str, tuple[Kind, str]] = {
    "keys": (kinds.keys(), "Keys of the chat, by the id of what they do."),
    "aliases": (kinds.words("a model, as text in quotes"), "Names of your own for models."),
}
"""Sections whose names are not known here."""

KEYS_TO_DOORS = ("api_key", "key", "token", "password")
"""What does not belong into a file that other programs read."""

SECTIONS = ("keys", "chat", "sampling", "models", "aliases", "engine", "server")

_BY_KEY = {setting.key: setting for setting in SETTINGS}


def section_settings(section: str) -> dict[str, Setting]:
    """Return the settings of a section by their names."""
    return {setting.name: setting for setting in SETTINGS if setting.section == section}


def setting_named(key: str) -> Setting | None:
    """Return a setting by what ``localfp4 config`` calls it; those that users name are made up."""
    section, _, name = key.partition(".")
    if name and section in NAMED_BY_THE_USER:
        return Setting(section, name, *NAMED_BY_THE_USER[section])
    return _BY_KEY.get(key)


def meant_instead(key: str) -> str:
    """Return how a sentence about a key that does not exist ends."""
    last = key.rpartition(".")[2].replace("-", "_").lower()
    if last in KEYS_TO_DOORS:
        return "keys are not kept in files: set LOCALFP4_API_KEY, or run hf auth login for the hub."
    if same := [known for known in _BY_KEY if known.endswith(f".{last}")]:
        return f"did you mean {' or '.join(same)}?"
    if key in SECTIONS:
        return f"name one of its settings, such as {_example(key)}."
    hint = likely(key, _BY_KEY)
    return hint if hint.startswith("did") else "`localfp4 config` lists all that there are."


def _example(section: str) -> str:
    made_up = {"keys": "keys.chat.new", "aliases": "aliases.mine"}
    return made_up.get(section) or next(key for key in _BY_KEY if key.startswith(f"{section}."))
