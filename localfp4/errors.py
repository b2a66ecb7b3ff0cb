"""The errors a person can cause, each told in one sentence; stdlib only."""


class UserError(Exception):
    """Something the user can mend: the message says what, where and what to do.

    The command line prints the message without a traceback and exits with 2; the Python API
    lets it through.
    """


class ModelNotFoundError(UserError):
    """No such folder, and no such model on the hub or in the local cache."""


class CheckpointError(UserError):
    """A checkpoint is incomplete, damaged or contradicts itself."""


class UnsupportedModelError(UserError):
    """The checkpoint is sound, but of a kind this version cannot run."""


class ContextError(UserError):
    """A request does not fit the context length or the KV cache."""


class RequestError(UserError):
    """A request is malformed: an empty prompt, a parameter out of range, a missing tokenizer."""


class CalibrationError(UserError):
    """Text to calibrate with is missing, is not text, or is too short."""


class EvaluationError(UserError):
    """Nothing can be measured: a text is too short, or two evaluations have nothing in common."""


class ChangedElsewhereError(UserError):
    """A conversation cannot be saved, since another window has gone on with it."""


class EngineDiedError(UserError):
    """The engine process ended unexpectedly; a restart loads the model again."""
