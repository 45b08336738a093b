"""What is known while a plan is made, and the reasons collected so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, cast

from tools.advise import defaults
from tools.advise.evidence import facts_of_method
from tools.advise.figures import Reason
from tools.advise.hardware import Machine
from tools.advise.lengths import Lengths
from tools.advise.models import ModelInfo
from tools.advise.wishes import PlanRequest
from tools.datasets.manifest import Manifest

Value = TypeVar("Value")


@dataclass
class Draft:
    """What is known while choosing, and the reasons collected so far."""

    request: PlanRequest
    model: ModelInfo
    manifest: Manifest
    machine: Machine
    lengths: Lengths
    why: list[Reason] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def because(self, reason: Reason) -> None:
        """Remember why something was chosen."""
        self.why.append(reason)

    @property
    def rows(self) -> int:
        """Rows to train on."""
        return self.manifest.splits["train"]

    def pick(self, name: str, default: tuple[Value, Reason]) -> Value:
        """Return the person's wish, else the model card's advice, else the default."""
        wished = getattr(self.request, name)
        if wished is not None:
            return cast("Value", wished)
        advised = self.model.recommended.get(name)
        if advised is not None and self._card_applies(name, float(advised)):
            words = f"{name.replace('_', ' ')} {advised:g}"
            self.because(Reason(words, "tried on this very model", defaults.CARD))
            return cast("Value", int(advised) if isinstance(default[0], int) else float(advised))
        self.because(default[1])
        return default[0]

    @property
    def objective(self) -> str:
        """What is learned: as wished, else as the data tells."""
        return self.request.objective or self.manifest.objective

    def _card_applies(self, name: str, advised: float) -> bool:
        """A card's rates are for LoRA and its kin; its epochs for data of ordinary size."""
        method = self.request.method
        if name == "learning_rate" and method:
            return facts_of_method(method).rate == 1.0
        if name == "epochs":
            return defaults.card_epochs_do(self.rows, advised, self.objective)
        return True
