"""What listing models, describing machines and explaining return."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from tools.advise.figures import Verdict
from tools.advise.hardware import Machine
from tools.advise.models import size_words
from tools.datasets.quarantine import disarm, shorten
from tools.reports import Report

_NO_DATA = ConfigDict(frozen=True, extra="forbid")


class ModelShown(BaseModel):
    """One base model of the list."""

    model_config = _NO_DATA

    name: str
    parameters_b: float
    context_length: int
    licence: str
    commercial: str
    gated: bool
    chat_template: bool
    onnx: bool
    here: bool
    lora_gib: float | None
    qlora_gib: float | None
    fits: Verdict
    source: str


class ModelsReport(Report):
    """Base models with licence, support, and whether they fit on a machine."""

    models: list[ModelShown]
    hardware: str
    matching: int

    def text(self) -> str:
        """Return the list in plain words."""
        lines = [f"{len(self.models)} of {self.matching} base models, for {self.hardware}:"]
        for m in self.models:
            need = f"LoRA {m.lora_gib:.1f} GiB" if m.lora_gib else ""
            tags = [m.licence, need, m.fits, "ONNX" if m.onnx else "no ONNX"]
            tags += ["gated"] if m.gated else []
            tags += ["on this machine"] if m.here else []
            lines.append(
                f"- {disarm(m.name)}: {size_words(m.parameters_b)}, "
                f"{m.context_length:,} tokens; {'; '.join(tag for tag in tags if tag)}"
            )
        lines.append("Any other model works by its Hub name or its folder.")
        return "\n".join(lines)


class HardwareReport(Report):
    """This machine, or one that was described."""

    name: str
    cpu: str
    cores: int
    memory_gib: float
    free_memory_gib: float
    disk_free_gib: float | None
    gpus: list[dict[str, Any]]
    nodes: int
    usable_gib: float
    notes: list[str]

    @classmethod
    def of(cls, machine: Machine) -> HardwareReport:
        """Describe a machine."""
        device = "cuda" if machine.gpus else "cpu"
        return cls(
            name=machine.name,
            cpu=machine.cpu,
            cores=machine.cores,
            memory_gib=round(machine.memory_gib, 1),
            free_memory_gib=round(machine.free_memory_gib, 1),
            disk_free_gib=None
            if machine.disk_free_gib is None
            else round(machine.disk_free_gib, 1),
            gpus=[
                {
                    "name": gpu.name,
                    "memory_gib": round(gpu.memory_gib, 1),
                    "free_gib": round(gpu.free_gib, 1),
                    "compute_capability": ".".join(map(str, gpu.capability or ())) or None,
                    "bfloat16": gpu.bfloat16,
                }
                for gpu in machine.gpus
            ],
            nodes=machine.nodes,
            usable_gib=round(machine.usable_gib(device), 1),
            notes=list(machine.notes),
        )

    def text(self) -> str:
        """Return the machine in plain words."""
        lines = [
            f"{shorten(disarm(self.name), 80)}: {disarm(self.cpu)}, {self.cores} cores, "
            f"{self.memory_gib:.1f} GiB memory ({self.free_memory_gib:.1f} free)"
        ]
        if self.disk_free_gib is not None:
            lines[0] += f", {self.disk_free_gib:.0f} GiB of disk free"
        for gpu in self.gpus:
            bf16 = "bfloat16" if gpu["bfloat16"] else "no bfloat16"
            lines.append(f"GPU: {disarm(gpu['name'])}, {gpu['memory_gib']:.1f} GiB, {bf16}")
        if not self.gpus:
            lines.append("No NVIDIA GPU: training runs on the processor.")
        lines.append(f"One training may use {self.usable_gib:.1f} GiB.")
        return "\n".join([*lines, *self.notes])


class AnswerReport(Report):
    """An answer quoted from the guide or the matrix, with its places; or that it is not known."""

    question: str
    known: bool
    passages: list[dict[str, str]]
    topics: list[str]

    def text(self) -> str:
        """Return the answer, or say that the guide does not know."""
        if not self.known:
            some = ", ".join(self.topics[:12])
            return f"The guide has no answer to that. It knows about: {some}, and more."
        blocks = [
            f"{p['title']}\n{p['text']}\n[{p['place']}; {p['source']}]" for p in self.passages
        ]
        return "\n\n".join(blocks)
