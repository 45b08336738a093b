"""What a goal in a person's words asks of the choice, beside the task: what must be small or good.

Only words are matched; nothing in them is obeyed. An aim moves the ranking and the defaults, never
a limit: what does not fit still does not fit.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Literal

Aim = Literal["quality", "cost", "memory", "few_params", "several", "edge", "speed"]

_LEAST = (
    r"(?:least|less|little|lower|low|lowest|small(?:er|est)?|tiny|minim\w+|limited|short of|save)"
)
_PATTERNS: dict[Aim, str] = {
    "quality": r"\b(?:best|highest|top|maxim\w+|utmost|superb)\b(?: \w+){0,2} (?:quality|accura\w+|"
    r"results?|performance|model|scores?|answers?)|quality (?:is|matters|above|first|comes first)|"
    r"\bas (?:good|accurate) as possible\b|whatever (?:it|the) costs?\b|state of the art|"
    r"\b(?:full|highest|max) quality\b|\bno compromise|\bbest (?:possible|we can get)\b",
    "cost": r"\bcheap\w*|\binexpensive|\beconom\w+|\bafford\w*|\bthrift\w*|\bfrugal|"
    rf"\b{_LEAST}(?: \w+)? (?:money|cost\w*|budget|spend\w*)|\b(?:tight|small|tiny|no) budget|"
    r"\bno money\b|\bcost[- ](?:effective|efficient)|\b(?:reduce|cut|lower|minimi[sz]e)\b.{0,12}"
    r"\b(?:costs?|spending|bill)\b|\b(?:costs?|spend) (?:as )?(?:little|next to nothing)",
    "memory": rf"\b{_LEAST}(?: \w+){{0,2}} (?:memory|v?ram)\b|\bmemory[- ](?:efficient|saving|"
    r"footprint|friendly)|\bout of memory\b|\boom\b|\b(?:reduce|cut|lower|minimi[sz]e|save)\b"
    r".{0,16}\b(?:memory|v?ram)\b|\bas (?:little|small)[\w ]{0,14}(?:memory|v?ram)|"
    r"\b(?:memory|v?ram) (?:is|as)(?: \w+)? (?:small|tight|short|scarce|little|low|limited)",
    "few_params": r"\bfew(?:er|est)?(?: \w+){0,2} (?:parameters?|params|weights)\b|"
    r"\bparameter[- ]efficien\w+|\b(?:small|tiny|smallest|light\w*) adapters?\b|"
    r"\b(?:least|less|minimal|smallest)(?: \w+){0,3} (?:parameters|params)\b",
    "several": r"\b(?:several|many|multiple|different|various|two|three|four|five)(?: \w+)? "
    r"(?:tasks|adapters|customers|clients|tenants|skills|jobs on)\b|"
    r"\bswap\w*\b.{0,12}\badapters?\b|\badapters?\b.{0,12}\bswap|"
    r"\bmulti[- ]?(?:adapter|task|tenant)|\b(?:on|over|from) (?:one|the same|a single) base\b|"
    r"\b(?:one|an|separate) adapters? (?:per|for each|for every)\b",
    "edge": r"\b(?:smart)?phones?\b|\bmobile\b|\btablets?\b|\bedge\b|\braspberry|\bembedded\b|"
    r"\bon[- ]device\b|\biot\b|\bbrowser\b|\bandroid\b|\bios\b|\bwearables?\b|\bnpu\b|"
    r"\bsmall laptops?\b",
    "speed": r"\b(?:quick(?:ly|est)?|fast(?:er|est)?|hurry|rapid\w*|as soon as possible|asap)\b|"
    r"\b(?:proof of concept|prototype)\b",
}  # fmt: skip
ROWS: dict[Aim, str] = {"cost": "cost", "memory": "memory", "few_params": "few-params"}
"""The matrix rows that speak of an aim."""


@cache
def aims_of(goal: str) -> frozenset[Aim]:
    """Return what the goal asks for."""
    words = re.sub(r"\s+", " ", goal.lower().replace("’", "'"))
    return frozenset(aim for aim, pattern in _PATTERNS.items() if re.search(pattern, words))
