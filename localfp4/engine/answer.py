"""What the front end sees of a sequence: text pieces, log-probabilities and timings."""

from collections.abc import Callable
from dataclasses import dataclass, field

from localfp4.engine.sequence import Sequence
from localfp4.messages import Delta, Event, Finished
from localfp4.runner.sampler import Sampled
from localfp4.text.detokenizer import Detokenizer
from localfp4.text.stops import StopStrings


@dataclass(slots=True)
class Answer:
    """Turns the tokens of one sequence into events.

    Attributes:
        sequence: Whose tokens they are.
        detokenizer: ``None`` where the model has no tokenizer; pieces then have no text.
        stops: Finds stop strings.
        clock: Returns seconds.
        arrived_s: When the request came.
        first_token_s: When its first token came.
    """

    sequence: Sequence
    detokenizer: Detokenizer | None
    stops: StopStrings
    clock: Callable[[], float]
    arrived_s: float
    first_token_s: float | None = field(default=None)

    def add(self, sampled: Sampled) -> Delta:
        """Append a chosen token to the sequence and return the piece of text it completes."""
        sequence = self.sequence
        if self.first_token_s is None:
            self.first_token_s = self.clock()
        sequence.append(sampled.token_id)
        ends_answer = sequence.finished == "stop"
        text, hit = self.stops.add("" if ends_answer else self._decode(sampled.token_id))
        if hit:
            sequence.finished = "stop"
        elif sequence.finished is not None:
            text += self._rest()
        return Delta(
            sequence.id,
            text,
            () if ends_answer else (sampled.token_id,),
            () if sampled.logprob is None or ends_answer else (sampled.logprob,),
        )

    def cancel(self) -> list[Event]:
        """End the answer early, giving out the text that was held back."""
        self.sequence.finished = "cancelled"
        rest = self._rest()
        return [*([Delta(self.sequence.id, rest)] if rest else []), self.finish()]

    def finish(self) -> Finished:
        """Return the closing event of a finished sequence."""
        sequence, now = self.sequence, self.clock()
        first = now if self.first_token_s is None else self.first_token_s
        return Finished(
            id=sequence.id,
            reason=sequence.finished or "cancelled",
            prompt_tokens=sequence.prompt_len,
            cached_tokens=sequence.cached or 0,
            output_tokens=sequence.output_len,
            ttft_s=0.0 if self.first_token_s is None else first - self.arrived_s,
            duration_s=now - self.arrived_s,
        )

    def _decode(self, token: int) -> str:
        return "" if self.detokenizer is None else self.detokenizer.add(token)

    def _rest(self) -> str:
        """Return what the detokenizer and the stop strings still hold."""
        tail = "" if self.detokenizer is None else self.detokenizer.flush()
        text, hit = self.stops.add(tail)
        return text if hit else text + self.stops.flush()
