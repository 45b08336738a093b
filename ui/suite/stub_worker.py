"""The process of a seeded running job: it holds the job's lock, and stops when it is told to.

Started as a script with the job's folder as its only argument; says `ready` once it holds the
lock. It trains nothing.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from filelock import FileLock

_LOOK_EVERY_S = 0.02
_LIVES_AT_MOST_S = 1800.0


def main(folder: Path) -> None:
    """Hold the lock until somebody asks for the end, or the time is over."""
    deadline = time.monotonic() + _LIVES_AT_MOST_S
    with FileLock(folder / "lock"):
        print("ready", flush=True)
        while time.monotonic() < deadline and not (folder / "cancel").exists():
            time.sleep(_LOOK_EVERY_S)
        if (folder / "cancel").exists():
            ending = {"state": "cancelled", "notice": f"{folder.name} was stopped."}
            temporary = folder / "exit.json.tmp"
            temporary.write_text(json.dumps(ending), encoding="utf-8")
            temporary.replace(folder / "exit.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
