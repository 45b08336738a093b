"""Everything that can go wrong in a way a person can act on.

    ToolError            a problem and the next step; never a bug
    ├── BadInput         an argument or a file is not usable as it is
    ├── NotFound         a file, job, model or dataset version does not exist
    ├── NotAllowed       outside what the person allowed (folder, network, consent)
    ├── Refused          a gate said no; `refused_by` names it
    ├── Conflict         the thing is in another state than the call needs
    ├── Unavailable      an optional part, a port, disk space or a service is missing
    └── TooNew           the database was written by a newer Luthier

Anything else that is raised is a bug and is not caught.
"""

from __future__ import annotations


class ToolError(Exception):
    """A problem a person can act on: one clear sentence and the next step.

    Args:
        problem: What is wrong, in one sentence, ending with a full stop.
        hint: What to do next, in one sentence. Never empty.
    """

    def __init__(self, problem: str, *, hint: str) -> None:
        if not problem.strip() or not hint.strip():
            raise ValueError("a ToolError needs a problem and a hint")
        super().__init__(problem)
        self.problem = problem.strip()
        self.hint = hint.strip()

    def __str__(self) -> str:
        return f"{self.problem} {self.hint}"

    @property
    def code(self) -> str:
        """Name of the class in snake case, for programs that read `--json`."""
        name = type(self).__name__
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")

    def as_dict(self) -> dict[str, str | None]:
        """Return `{code, message, hint, refused_by}` as every face shows it."""
        return {
            "code": self.code,
            "message": self.problem,
            "hint": self.hint,
            "refused_by": getattr(self, "refused_by", None),
        }


class BadInput(ToolError):
    """An argument or a file is not usable as it is."""


class NotFound(ToolError):
    """A file, job, model or dataset version does not exist."""


class NotAllowed(ToolError):
    """Outside what the person allowed: a folder, the network, a consent."""


class Refused(ToolError):
    """A gate said no.

    Args:
        refused_by: Name of the gate: `preflight`, `memory`, `labels`, `probe`, `parity`, `disk`.
    """

    def __init__(self, problem: str, *, hint: str, refused_by: str) -> None:
        super().__init__(problem, hint=hint)
        self.refused_by = refused_by


class Conflict(ToolError):
    """The thing is in another state than the call needs."""


class Unavailable(ToolError):
    """An optional part, a port, disk space or a service is missing."""


class TooNew(ToolError):
    """The database was written by a newer Luthier."""
