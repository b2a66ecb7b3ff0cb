"""What the front end sees of a sequence: pieces of its text, log-probabilities and timings."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from localfp4.engine.sequence import Sequence as Running
from localfp4.messages import Delta, Event, Finished, FinishReason, TokenLogprob, ToolCall
from localfp4.runner.sampler import Sampled
from localfp4.text.answer_reader import AnswerReader
from localfp4.text.parsers.parser import Call, Content, Piece, Reasoning
from localfp4.text.stops import StopStrings


@dataclass(slots=True)
class Answer:
    """Turns the tokens of one sequence into events.

    Attributes:
        sequence: Whose tokens they are.
        reader: ``None`` where the model has no tokenizer; pieces then have no text.
        stops: Finds stop strings, in what is neither reasoning nor a tool call; ``None`` where
            there are none.
        clock: Returns seconds.
        arrived_s: When the request came.
        first_token_s: When its first token came.
        calls: How many tools it has called.
        names: What tokens spell, one by one; ``None`` where the model has no tokenizer.
    """

    sequence: Running
    reader: AnswerReader | None
    stops: StopStrings | None
    clock: Callable[[], float]
    arrived_s: float
    first_token_s: float | None = field(default=None)
    calls: int = field(default=0)
    names: Mapping[int, str] | None = field(default=None)

    def add(self, sampled: Sampled) -> Delta:
        """Append a chosen token to the sequence and return the piece of text it completes."""
        sequence, reader = self.sequence, self.reader
        if self.first_token_s is None:
            self.first_token_s = self.clock()
        sequence.append(sampled.token_id)
        if sequence.finished == "stop":
            return self._delta(self._rest())
        pieces = [] if reader is None else reader.add(sampled.token_id)
        if sequence.finished is not None:
            pieces = [*pieces, *self._rest()]
        return self._delta(pieces, sampled)

    def cancel(self) -> list[Event]:
        """End the answer early, giving out the text that was held back."""
        self.sequence.finished = "cancelled"
        rest = self._delta(self._rest())
        is_empty = not (rest.text or rest.reasoning or rest.tool_calls)
        return [*([] if is_empty else [rest]), self.finish()]

    def finish(self) -> Finished:
        """Return the closing event of a finished sequence."""
        sequence, now = self.sequence, self.clock()
        first = now if self.first_token_s is None else self.first_token_s
        return Finished(
            id=sequence.id,
            reason=self._reason(),
            prompt_tokens=sequence.prompt_len,
            cached_tokens=sequence.cached or 0,
            output_tokens=sequence.output_len,
            ttft_s=0.0 if self.first_token_s is None else first - self.arrived_s,
            duration_s=now - self.arrived_s,
            drafted_tokens=sequence.drafted,
            accepted_tokens=sequence.accepted,
        )

    def _reason(self) -> FinishReason:
        reason = self.sequence.finished or "cancelled"
        return "tool_calls" if reason == "stop" and self.calls else reason

    def _rest(self) -> list[Piece]:
        return [] if self.reader is None else self.reader.end()

    def _delta(self, pieces: Sequence[Piece], sampled: Sampled | None = None) -> Delta:
        """Sort pieces by their kind, up to a stop string, which ends the answer."""
        text, reasoning, calls = "", "", []
        hit = False
        for piece in pieces:
            match piece:
                case Content() if self.stops is not None:
                    passed, hit = self.stops.add(piece.text)
                    text += passed
                case Content():
                    text += piece.text
                case Reasoning():
                    reasoning += piece.text
                case Call():
                    calls.append(self._numbered(piece))
            if hit:
                break
        if hit:
            self.sequence.finished = "stop"
        elif self.sequence.finished is not None and self.stops is not None:
            text += self.stops.flush()
        if sampled is None:
            return Delta(self.sequence.id, text, (), (), reasoning, tuple(calls))
        logprobs = () if sampled.logprob is None else (self._spelled(sampled.logprob),)
        return Delta(self.sequence.id, text, (sampled.token_id,), logprobs, reasoning, tuple(calls))

    def _spelled(self, logprob: TokenLogprob) -> TokenLogprob:
        """Say in words which tokens are meant."""
        names, token_id, top = self.names, logprob.token_id, logprob.top
        if names is None:
            return logprob
        top_texts = tuple([names[other] for other, _ in top])
        return TokenLogprob(token_id, logprob.logprob, top, names[token_id], top_texts)

    def _numbered(self, call: Call) -> ToolCall:
        """Give a call an id, of nine characters as Mistral's templates demand."""
        self.calls += 1
        return ToolCall(self.calls - 1, secrets.token_hex(5)[:9], call.name, call.arguments)
