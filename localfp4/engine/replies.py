"""What an engine says to questions that are no requests; torch-free."""

from typing import TYPE_CHECKING

from localfp4 import errors
from localfp4.engine.protocol import CountTokens, Decode, Encode, Question, Refused, Replied, Reply

if TYPE_CHECKING:
    from localfp4.engine.prompt import PromptEncoder


def reply(to: Question, prompts: "PromptEncoder") -> Reply:
    """Return what a model's prompts and tokens are, or in words why that cannot be said."""
    try:
        match to:
            case CountTokens():
                return Replied(to.number, numbers=tuple(map(prompts.count, to.texts)))
            case Encode():
                return Replied(to.number, numbers=tuple(prompts.token_ids(to.request)))
            case Decode(alone=True):
                return Replied(to.number, texts=tuple(prompts.texts(to.token_ids)))
            case Decode():
                return Replied(to.number, texts=(prompts.decode(to.token_ids),))
    except errors.UserError as error:
        return Refused(to.number, kind_of(error), str(error))


def kind_of(error: errors.UserError) -> str:
    """Name the nearest class of ``localfp4.errors``, which the front end can raise again."""
    return next(k.__name__ for k in type(error).__mro__ if k.__module__ == errors.__name__)
