"""Shows a running job on a terminal's error stream while the job's own process works."""

from __future__ import annotations

import sys
from typing import TextIO

from tools.context import Context
from tools.history.jobs import EventRecord, JobRecord
from tools.jobs import follow
from ui.text import format_bar, format_duration, format_event


class ProgressPrinter:
    """Prints events as they come: a moving bar on a terminal, sparse lines elsewhere.

    Args:
        stream: Where to print; the error stream, so that `--json` keeps stdout to itself.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._shown_tenths: tuple[str, int] = ("", -1)
        self._open_line = False

    def __call__(self, event: EventRecord) -> None:
        """Show one event."""
        if event.kind == "progress":
            self._bar(event)
            return
        line = format_event(event.kind, event.payload)
        if line:
            self._close_line()
            print(f"  {line}", file=self._stream, flush=True)

    def close(self) -> None:
        """End a bar that is still open."""
        self._close_line()

    def _bar(self, event: EventRecord) -> None:
        done, total, phase = event.payload["done"], event.payload["total"], event.payload["phase"]
        tenths = int(10 * done / total) if total else 0
        if not self._live and (phase, tenths) == self._shown_tenths:
            return
        self._shown_tenths = (phase, tenths)
        eta = event.payload.get("eta_s")
        left = f"  {format_duration(eta)} left" if eta else ""
        text = f"  {format_bar(done, total)} {phase} {done}/{total}{left}"
        print(
            f"\r{text:<78}" if self._live else text,
            end="" if self._live else "\n",
            file=self._stream,
            flush=True,
        )
        self._open_line = self._live

    def _close_line(self) -> None:
        if self._open_line:
            print(file=self._stream, flush=True)
            self._open_line = False


def wait_with_progress(ctx: Context, job_id: str, *, quiet: bool = False) -> JobRecord:
    """Wait for a job's end, showing its progress unless `quiet`."""
    printer = ProgressPrinter()
    try:
        return follow.wait(ctx, job_id, on_event=None if quiet else printer)
    finally:
        printer.close()
