"""What crosses the boundary between a front end and an engine; stdlib only, picklable."""

from localfp4.messages.completion import Completion
from localfp4.messages.constraint import FREE_CHOICE, Constraint, ConstraintKind, ToolChoice
from localfp4.messages.events import (
    Delta,
    Event,
    Failed,
    FailureKind,
    Finished,
    FinishReason,
    PromptScored,
    Started,
    TokenLogprob,
    ToolCall,
)
from localfp4.messages.model_info import LoadProgress, ModelInfo, Thinks
from localfp4.messages.request import TEMPLATE_OPTIONS, ChatMessage, Request
from localfp4.messages.stats import Stats

__all__ = [
    "FREE_CHOICE",
    "TEMPLATE_OPTIONS",
    "ChatMessage",
    "Completion",
    "Constraint",
    "ConstraintKind",
    "Delta",
    "Event",
    "Failed",
    "FailureKind",
    "FinishReason",
    "Finished",
    "LoadProgress",
    "ModelInfo",
    "PromptScored",
    "Request",
    "Started",
    "Stats",
    "Thinks",
    "TokenLogprob",
    "ToolCall",
    "ToolChoice",
]
