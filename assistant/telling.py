"""From what a brain streams to what faces show and the transcript keeps."""

from __future__ import annotations

from collections.abc import Callable

from assistant.events import TextDelta, TurnEvent
from assistant.markup import HarmlessStream
from assistant.transcript import Transcript


class Recorder:
    """Hands events to whoever listens and keeps them; pieces of text are kept as one."""

    def __init__(
        self, transcript: Transcript, thread_id: str, emit: Callable[[TurnEvent], None]
    ) -> None:
        self._transcript = transcript
        self._thread_id = thread_id
        self._emit = emit
        self._text = ""

    def __call__(self, event: TurnEvent) -> None:
        """Tell and keep."""
        self._emit(event)
        if isinstance(event, TextDelta):
            self._text += event.text
        else:
            self.keep(event)

    def keep(self, event: TurnEvent) -> None:
        """Keep without telling."""
        self.end()
        self._transcript.append(self._thread_id, [event])

    def end(self) -> None:
        """Keep the text that was told so far."""
        text, self._text = self._text, ""
        if text:
            self._transcript.append(self._thread_id, [TextDelta(text=text)])


class Speech:
    """Makes the text of a turn's answers one harmless stream, a paragraph per answer."""

    def __init__(self, tell: Callable[[TurnEvent], None]) -> None:
        self._tell = tell
        self._stream = HarmlessStream()
        self._speaker: str | None = None

    def say(self, message_id: str, piece: str) -> None:
        """Take in a piece of one answer."""
        if not piece:
            return
        if self._speaker not in (None, message_id):
            self._say(self._stream.end() + "\n\n")
        self._speaker = message_id
        self._say(self._stream.feed(piece))

    def end(self) -> None:
        """Tell what was held back."""
        self._say(self._stream.end())

    def _say(self, text: str) -> None:
        if text:
            self._tell(TextDelta(text=text))
