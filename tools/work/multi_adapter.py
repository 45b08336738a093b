"""One ONNX model that carries several adapters: the base once, an adapter chosen at run time.

Every adapter is written with the same modules and rank (missing ones are zero, which changes
nothing), so that all fit one graph. The builder puts each into a graph of its own; the weights that
differ become optional inputs of the first graph, zero unless an adapter is active, and one file for
each adapter. Source: the multi-adapter format of ONNX Runtime (`AdapterFormat`).
Not covered: adapters with other weights than low-rank ones beside linear layers.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from onnx import numpy_helper
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer

from tools.errors import Refused
from tools.history.spec import ExportSpec, OnnxPrecision, TrainingSpec
from tools.work.build_onnx import QUANTISATIONS, build
from tools.work.load import load_model
from tools.work.onnx_model import ADAPTERS
from tools.work.report import Job

_PREFIX = "base_model.model."
_GRAPH = "model.onnx"
_LOW_RANK = (".lora_A.", ".lora_B.")
_SMALLEST_APART_BYTES = 1024
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Part:
    """One adapter of the model: its name, the run that trained it, and where it lies."""

    name: str
    job: str
    training: TrainingSpec
    result: Path


class Together:
    """Writes the model in one precision after the other, from what all of them share."""

    def __init__(self, job: Job, spec: ExportSpec, parts: Sequence[Part], base: Path) -> None:
        self._job = job
        self._spec = spec
        self._parts = parts
        self._base = base
        self._alike = job.folder / "alike"
        self._weights: dict[str, Arrays] = {}
        self._nodes: list[str] = []

    def prepare(self) -> None:
        """Write all adapters alike, and read from the builder's graphs what each is there.

        Raises:
            Refused: One of them is no plain low-rank adapter, or the builder failed.
        """
        self._job.phase("merge", note="adapters side by side")
        _write_alike(self._job, self._parts, self._alike)
        for part in self._parts:
            self._job.phase("export", note=part.name)
            place = self._job.folder / "single"
            shutil.rmtree(place, ignore_errors=True)
            self._build(part, place, "fp32", ())
            model = onnx.load(place / _GRAPH)
            self._weights[part.name] = {t.name: numpy_helper.to_array(t) for t in _low_rank(model)}
            names = set(self._weights[part.name])
            self._nodes = [n.name for n in model.graph.node if names & set(n.input)]
            shutil.rmtree(place)

    def write(self, target: Path, precision: OnnxPrecision, way: int = 0) -> bool:
        """Write the model and its adapters; `way` chooses how int4 is made.

        Returns:
            Whether there is another way to try.
        """
        ways = QUANTISATIONS if precision == "int4" else (("", ()),)
        options = list(ways[way][1])
        if precision == "int4":
            # Four bits are for the base: an adapter is small and is exchanged as it is.
            options.append(f"nodes_to_exclude={','.join(self._nodes)}")
        shutil.rmtree(target, ignore_errors=True)
        self._build(self._parts[0], target, precision, tuple(options))
        types = _open_graph(target)
        (target / ADAPTERS).mkdir()
        for name, weights in self._weights.items():
            _write_adapter(target / ADAPTERS / f"{name}.onnx_adapter", weights, types)
        return way + 1 < len(ways)

    def close(self) -> None:
        """Delete what was needed on the way."""
        shutil.rmtree(self._alike, ignore_errors=True)
        shutil.rmtree(self._job.folder / "single", ignore_errors=True)

    def _build(
        self, part: Part, place: Path, precision: OnnxPrecision, options: tuple[str, ...]
    ) -> None:
        adapter = f"adapter_path={self._alike / part.name}"
        build(self._job, self._base, place, precision, self._spec.device, (adapter, *options))


def _write_alike(job: Job, parts: Sequence[Part], folder: Path) -> None:
    """Write every adapter with the modules and the rank of all, its scale folded into B."""
    found = {part.name: _factors(job, part) for part in parts}
    rank = max(a.shape[0] for factors in found.values() for a, _ in factors.values())
    base = load_model(job, whole(parts[0].training), quantised=False)
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        target_modules=sorted({module for factors in found.values() for module in factors}),
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(base, config)
    for name, factors in found.items():
        for module, layer in _layers(model):
            first, second = layer.lora_A["default"].weight.data, layer.lora_B["default"].weight.data
            first.zero_()
            second.zero_()
            if module in factors:
                a, b = factors[module]
                first[: a.shape[0]] = a
                second[:, : b.shape[1]] = b
        model.save_pretrained(str(folder / name), safe_serialization=True)


def _factors(job: Job, part: Part) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return A (rank, in) and scale × B (out, rank) of each module that an adapter changes."""
    model = load_model(job, whole(part.training), adapter=part.result, quantised=False)
    found = {}
    for module, layer in _layers(model):
        plain = (
            isinstance(layer.get_base_layer(), torch.nn.Linear) and not layer.lora_variant
        )  # DoRA and its like
        if not plain:
            raise Refused(
                f"The adapter {part.name} holds more than low-rank weights beside linear layers.",
                hint="Export it alone: `luthier export` merges it into the base.",
                refused_by="preflight",
            )
        a, b = layer.lora_A["default"].weight.data, layer.lora_B["default"].weight.data
        found[module] = (a.float().clone(), b.float() * layer.scaling["default"])
    return found


def _layers(model: Any) -> list[tuple[str, LoraLayer]]:
    return [
        (name.removeprefix(_PREFIX), module)
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer)
    ]


def whole(spec: TrainingSpec) -> TrainingSpec:
    """Return how a base is loaded for export: as it was published, in float32."""
    return spec.model_copy(update={"precision": "float32", "device": "cpu"})


def _low_rank(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    return [t for t in model.graph.initializer if any(kind in t.name for kind in _LOW_RANK)]


def _open_graph(folder: Path) -> dict[str, np.dtype[Any]]:
    """Turn the adapter's weights of a written model into optional inputs that are zero.

    Returns:
        Name and type of each.
    """
    model = onnx.load(folder / _GRAPH)
    types: dict[str, np.dtype[Any]] = {}
    for tensor in _low_rank(model):
        values = numpy_helper.to_array(tensor)
        types[tensor.name] = values.dtype
        tensor.CopyFrom(numpy_helper.from_array(np.zeros_like(values), tensor.name))
        model.graph.input.append(
            onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, values.shape)
        )
    for path in folder.glob(f"{_GRAPH}*"):
        path.unlink()
    onnx.save(
        model,
        folder / _GRAPH,
        save_as_external_data=True,
        location=f"{_GRAPH}.data",
        size_threshold=_SMALLEST_APART_BYTES,
    )
    return types


def _write_adapter(path: Path, weights: Arrays, types: Mapping[str, np.dtype[Any]]) -> None:
    if set(weights) != set(types):
        raise Refused(
            "The ONNX builder named the adapters' weights differently from one build to the next.",
            hint="Export each adapter alone, and report this as a bug.",
            refused_by="parity",
        )
    format_ = ort.AdapterFormat()
    format_.set_adapter_version(1)
    format_.set_model_version(1)
    values = {
        name: ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array.astype(types[name])))
        for name, array in weights.items()
    }
    format_.set_parameters(values)
    format_.export_adapter(str(path))
