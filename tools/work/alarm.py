"""An alarm becomes an event of the job and a word to the person."""

from __future__ import annotations

from tools.diagnose.watch import Alarm
from tools.work.report import Job


def raise_alarm(job: Job, alarm: Alarm) -> None:
    """Tell of trouble while the run goes on: in its events, and where the person talks."""
    job.warn(f"watch_{alarm.name}", f"{alarm.message} {alarm.offer}")
    job.notify(f"{job.id}: {alarm.message} {alarm.offer} Say `stop` or ask what is wrong with it.")
