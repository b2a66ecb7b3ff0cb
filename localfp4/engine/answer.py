"""What the front end sees of a sequence: pieces of its text, log-probabilities and timings."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from localfp4.engine.prompt_scores import PromptScores
from localfp4.engine.sequence import Sequence as Running
from localfp4.messages import (
    Delta,
    Event,
    Failed,
    Finished,
    FinishReason,
    TokenLogprob,
    ToolCall,
)
from localfp4.runner.sampler import Sampled
from localfp4.text.answer_reader import AnswerReader
from localfp4.text.parsers.parser import Call, Content, Piece, Reasoning
from localfp4.text.stops import StopStrings
from localfp4.text.token_names import TokenNames


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
        began_s: When its prompt began to be computed.
        first_token_s: When its first token came.
        calls: How many tools it has called.
        names: What tokens spell, one by one; ``None`` where the model has no tokenizer.
        scores: Those of the prompt, where they are asked for and have not been handed out.
        end_logprob: Of the end token, where log-probabilities are asked for.
    """

    sequence: Running
    reader: AnswerReader | None
    stops: StopStrings | None
    clock: Callable[[], float]
    arrived_s: float
    began_s: float | None = field(default=None)
    first_token_s: float | None = field(default=None)
    calls: int = field(default=0)
    names: TokenNames | None = field(default=None)
    scores: PromptScores | None = field(default=None)
    end_logprob: TokenLogprob | None = field(default=None)

    def begin(self, now_s: float) -> None:
        """Note that its prompt is being computed; only the first time counts."""
        if self.began_s is None:
            self.began_s = now_s

    def add(self, sampled: Sampled) -> Delta:
        """Append a chosen token to the sequence and return the piece of text it completes."""
        sequence, reader = self.sequence, self.reader
        if self.first_token_s is None:
            self.first_token_s = self.clock()
        sequence.append(sampled.token_id)
        if sequence.finished == "stop":
            self.end_logprob = self._spelled(sampled.logprob)
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

    def finish(self) -> Finished | Failed:
        """Return the closing event of a finished sequence; one that left its form has failed."""
        sequence, now = self.sequence, self.clock()
        if sequence.guide is not None and sequence.guide.failure is not None:
            return Failed(sequence.id, sequence.guide.failure)
        first = now if self.first_token_s is None else self.first_token_s
        began = now if self.began_s is None else self.began_s
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
            queued_s=began - self.arrived_s,
            reasoning_tokens=0 if self.reader is None else self.reader.reasoning_tokens,
            stopped_by=self._stopped_by(),
            end_logprob=self.end_logprob,
        )

    def _reason(self) -> FinishReason:
        reason = self.sequence.finished or "cancelled"
        return "tool_calls" if reason == "stop" and self.calls else reason

    def _stopped_by(self) -> str | int | None:
        """Return which of the ends that the request names has come."""
        sequence = self.sequence
        if sequence.finished != "stop":
            return None
        if self.stops is not None and self.stops.found is not None:
            return self.stops.found
        last = sequence.tokens[-1]
        return last if last in sequence.sampling.stop_token_ids else None

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
        logprob = self._spelled(sampled.logprob)
        logprobs = () if logprob is None else (logprob,)
        return Delta(self.sequence.id, text, (sampled.token_id,), logprobs, reasoning, tuple(calls))

    def _spelled(self, logprob: TokenLogprob | None) -> TokenLogprob | None:
        """Say in words which tokens are meant."""
        return logprob if logprob is None or self.names is None else self.names.spelled(logprob)

    def _numbered(self, call: Call) -> ToolCall:
        """Give a call an id, of nine characters as Mistral's templates demand."""
        self.calls += 1
        return ToolCall(self.calls - 1, secrets.token_hex(5)[:9], call.name, call.arguments)
