"""A model as lm_eval (the Language Model Evaluation Harness of EleutherAI) takes it.

Texts become tokens, and are cut and windowed, as by lm_eval's own class for Hugging Face models, so
that figures can be compared. Importing this needs lm_eval, which takes seconds.
"""

from collections.abc import Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from localfp4.errors import RequestError
from localfp4.evaluate.events import Progress, Tell
from localfp4.evaluate.scorer import Generation, Scorer

_TOGETHER = 64
"""Requests that the model gets at a time, between which progress is told."""

_ANSWER_TOKENS = 256
"""Longest answer where a task does not say, as for Hugging Face models."""

_Scored = tuple[tuple[str, str] | None, list[int], list[int]]
"""What lm_eval calls a pair, its context's tokens and its continuation's."""


class LocalModel(TemplateLM):  # type: ignore[misc]  # lm_eval has no types
    """Runs the requests of tasks on a scorer.

    Attributes:
        truncated: Prompts that were longer than the context and lost their beginning.
    """

    def __init__(self, scorer: Scorer, tell: Tell | None = None) -> None:
        """Take the model, and what is told how far it has got."""
        super().__init__()
        self.truncated = 0
        self._scorer = scorer
        self._tell_user = tell

    @property
    def eot_token_id(self) -> int:
        """The token that separates texts."""
        return self._scorer.end_token

    @property
    def prefix_token_id(self) -> int:
        """The token before a text that has no context."""
        start = self._scorer.start_token
        return self._scorer.end_token if start is None else start

    @property
    def max_length(self) -> int:
        """Most tokens that are read to predict one; that one has to find room as well."""
        return self._scorer.context_tokens - 1

    @property
    def max_gen_toks(self) -> int:
        """Longest answer where a task does not say."""
        return _ANSWER_TOKENS

    @property
    def tokenizer_name(self) -> str:
        """Nothing: requests are not cached under it."""
        return ""

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[int]:
        """Return the tokens of a text, after the one that the tokenizer begins every text with.

        A text that spells that token has it already, as rendered chat templates do.
        """
        ids, start = self._scorer.encode(string), self._scorer.start_token
        if start is None or add_special_tokens is False or ids[:1] == [start]:
            return ids
        return [start, *ids]

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Render a conversation; a last message of the assistant is the beginning of the answer."""
        return self._scorer.chat_text(chat_history)

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = True
    ) -> list[tuple[float, bool]]:
        """Return the log-likelihood of each continuation, and whether it is the greedy answer."""
        found: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm)
        return found

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = True
    ) -> list[float]:
        """Return the log-likelihood of whole texts, each token predicted once.

        As for Hugging Face models, the first token of a text is predicted too, after another one
        like it where the tokenizer begins every text with the same.
        """
        windows: list[_Scored] = []
        counts = []
        for request in requests:
            before = len(windows)
            windows += [
                (None, *make_disjoint_window(window))
                for window in get_rolling_token_windows(
                    token_list=self.tok_encode(request.args[0]),
                    prefix_token=self.prefix_token_id,
                    max_seq_len=self.max_length,
                    context_len=1,
                )
            ]
            counts.append(len(windows) - before)
        scored = iter(self._loglikelihood_tokens(windows))
        return [sum(next(scored)[0] for _ in range(count)) for count in counts]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """Continue prompts greedily, each up to the first of its stop strings."""
        prompts = [self._generation(*request.args) for request in requests]
        answers: list[str] = []
        for start in range(0, len(prompts), _TOGETHER):
            answers += self._scorer.generate(prompts[start : start + _TOGETHER])
            self._tell("answers to tasks", len(answers), len(prompts))
        return answers

    def _loglikelihood_tokens(
        self, requests: Sequence[_Scored], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        pairs = [self._fitted(context, continuation) for _, context, continuation in requests]
        # Neighbours in this order share the longest beginnings, which are computed once.
        order = sorted(range(len(pairs)), key=lambda place: pairs[place][0])
        found: dict[int, tuple[float, bool]] = {}
        for start in range(0, len(order), _TOGETHER):
            places = order[start : start + _TOGETHER]
            scores = self._scorer.scores(
                [pairs[place][0] for place in places], [pairs[place][1] for place in places]
            )
            for place, one in zip(places, scores, strict=True):
                found[place] = sum(one.logprobs), all(one.is_greedy)
            self._tell("likelihoods of tasks", len(found), len(order))
        return [found[place] for place in range(len(pairs))]

    def _fitted(self, context: list[int], continuation: list[int]) -> tuple[list[int], int]:
        """Cut a context from the left; return the sequence and how many of it are given.

        Raises:
            RequestError: There is nothing to score, or the continuation alone is too long.
        """
        longest = self._scorer.context_tokens
        if not continuation:
            raise RequestError(
                "A task asks for the likelihood of an empty continuation; its data are damaged."
            )
        if len(continuation) >= longest:
            raise RequestError(
                f"A task asks for the likelihood of {len(continuation)} tokens, and the context is "
                f"{longest}; raise it with --ctx."
            )
        ids = context + continuation
        self.truncated += len(ids) > longest
        ids = ids[-longest:]
        return ids, len(ids) - len(continuation)

    def _generation(self, context: str, settings: dict[str, Any]) -> Generation:
        """Return what to continue, cut from the left so that there is room for the answer.

        Raises:
            RequestError: The task samples, or the longest answer leaves no room for a prompt.
        """
        chosen = normalize_gen_kwargs(settings, self.max_gen_toks)
        if chosen["do_sample"] and chosen.get("temperature", 1.0) > 0:
            raise RequestError(
                "A task draws its answers at random, and answers are evaluated greedily here; "
                "choose a variant of it that does not sample."
            )
        room = self._scorer.context_tokens - chosen["max_gen_toks"]
        if room < 1:
            raise RequestError(
                f"A task asks for answers of up to {chosen['max_gen_toks']} tokens, and the context "
                f"is {self._scorer.context_tokens}; raise it with --ctx."
            )
        ids = self.tok_encode(context)
        self.truncated += len(ids) > room
        stop = tuple(str(one) for one in chosen["until"] if one)
        return Generation(tuple(ids[-room:]), chosen["max_gen_toks"], stop)

    def _tell(self, what: str, done: int, total: int) -> None:
        if self._tell_user is not None:
            self._tell_user(Progress(what, done, total))
