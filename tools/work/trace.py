"""The exact memory of a training step, by running the real step on tensors without content.

Started as `python -P -m tools.work.trace`: reads a request as JSON from standard input, writes the
answer as JSON to standard output. Model, adapter and optimiser are the real ones, under
`FakeTensorMode`; a dispatch mode adds the bytes of every new storage and subtracts them when it
dies. What comes out is *allocated* memory: a process, a CUDA context and the allocator's rounding
come on top. Not covered: kernels' own scratch memory, several cards.
"""

from __future__ import annotations

import json
import sys
import time
import weakref
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from transformers import AutoConfig, AutoModelForCausalLM

_GIB = 2**30
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Bytes(TorchDispatchMode):
    """Counts the bytes of living storages. Attributes: `now` and `peak`."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.peak = 0
        self._alive: dict[int, int] = {}

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, torch.Tensor):
                self._born(value)
        return result

    def _born(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._alive:
            return
        self._alive[key] = storage.nbytes()
        self.now += self._alive[key]
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._died, key)

    def _died(self, key: int) -> None:
        self.now -= self._alive.pop(key, 0)


class _Unpack(torch.autograd.Function):
    """A product with a 4-bit weight: unpacked forward and again backward, never kept."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, packed: torch.Tensor, shape: Any) -> torch.Tensor:
        ctx.packed, ctx.shape = packed, shape
        weight = torch.empty(shape, dtype=x.dtype)
        return functional.linear(x, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        weight = torch.empty(ctx.shape, dtype=gradients[0].dtype)
        return gradients[0] @ weight, None, None


class Packed(torch.nn.Linear):
    """A frozen linear layer held in a quarter of its bytes, as bitsandbytes holds NF4."""

    def __init__(self, like: torch.nn.Linear, constants: float) -> None:
        torch.nn.Module.__init__(self)
        self.in_features, self.out_features = like.in_features, like.out_features
        count = self.in_features * self.out_features
        nbytes = count // 2 + int(count * constants)
        self.weight = torch.nn.Parameter(torch.empty(nbytes, dtype=torch.uint8), False)
        self.bias = like.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply by the unpacked weight."""
        out = _Unpack.apply(x, self.weight, (self.out_features, self.in_features))
        return out if self.bias is None else out + self.bias


def trace(request: dict[str, Any]) -> dict[str, Any]:
    """Run a step on empty tensors and return the peak.

    Args:
        request: `config` (the model's config.json), `method`, `batch`, `length`, `trained_tokens`
            (a batch), `rank`, `targets`, `precision`, `checkpointing`, `optimizer`.
    """
    began = time.monotonic()
    counted = Bytes()
    with FakeTensorMode(allow_non_fake_inputs=True), counted:
        model = _model(request)
        weights = counted.now
        optimiser = _optimiser(request, model)
        batch, length = int(request["batch"]), int(request["length"])
        ids = torch.zeros((batch, length), dtype=torch.long)
        trained = int(request.get("trained_tokens") or batch * (length - 1))
        _fill_state(optimiser)
        counted.peak = counted.now
        with _autocast(request):
            loss = _loss(model, ids, trained, whole=bool(request.get("all_logits")))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    return {
        "peak_gib": counted.peak / _GIB,
        "weights_gib": weights / _GIB,
        "resting_gib": counted.now / _GIB,
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "seconds": round(time.monotonic() - began, 2),
        "processor_seconds": round(time.process_time(), 2),
    }


def _model(request: dict[str, Any]) -> Any:
    values = {k: v for k, v in request["config"].items() if k not in {"torch_dtype", "dtype"}}
    kind = values.pop("model_type")
    config = AutoConfig.for_model(kind, **values)
    config._attn_implementation = "sdpa"
    full = request["method"] == "full"
    dtype = torch.float32 if full else DTYPES[request["precision"]]
    before = torch.get_default_dtype()
    # `.to(dtype)` fails under the mode, so the model is built in its dtype.
    torch.set_default_dtype(dtype)
    try:
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    finally:
        torch.set_default_dtype(before)
    if request.get("quantized"):
        _pack(model, float(request.get("constants", 0.0)))
    if not full:
        model = _with_adapter(model, request)
    if request.get("checkpointing"):
        model.gradient_checkpointing_enable()
        if not full:
            model.enable_input_require_grads()
    return model.train()


def _pack(model: Any, constants: float) -> None:
    """Replace the layers' matrices; embeddings, norms and the head stay as they are."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.Linear) and name != "lm_head":
                setattr(parent, name, Packed(child, constants))


def _with_adapter(model: Any, request: dict[str, Any]) -> Any:
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415 - not needed for full tuning

    targets = request.get("targets") or "all-linear"
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=int(request["rank"]),
        lora_alpha=2 * int(request["rank"]),
        target_modules=targets if isinstance(targets, str) else list(targets),
        use_dora=request["method"] == "dora",
        init_lora_weights="gaussian" if request["method"] == "dora" else True,
    )
    to = torch.nn.Module.to
    torch.nn.Module.to = lambda self, *_, **__: self  # type: ignore[method-assign]
    try:
        model = get_peft_model(model, config, autocast_adapter_dtype=False)
    finally:
        torch.nn.Module.to = to  # type: ignore[method-assign]
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype != torch.float32:
            parameter.data = torch.empty(parameter.shape, dtype=torch.float32)
    return model


def _autocast(request: dict[str, Any]) -> Any:
    dtype = DTYPES[request["precision"]]
    return torch.autocast("cpu", dtype=dtype, enabled=dtype == torch.bfloat16)


def _optimiser(request: dict[str, Any], model: Any) -> torch.optim.Optimizer:
    trained = [p for p in model.parameters() if p.requires_grad]
    if request.get("optimizer") == "sgd":
        return torch.optim.SGD(trained, foreach=False)
    return torch.optim.AdamW(trained, foreach=False)


def _fill_state(optimiser: torch.optim.Optimizer) -> None:
    """Put the state there that AdamW makes in its first step: the second is what is traced."""
    if not isinstance(optimiser, torch.optim.AdamW):
        return
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            optimiser.state[parameter] = {
                "step": torch.tensor(1.0),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }


def _loss(model: Any, ids: torch.Tensor, trained: int, *, whole: bool) -> torch.Tensor:
    """The loss as the training recipe computes it: logits of trained tokens alone."""
    if whole:
        return model(input_ids=ids, labels=ids, use_cache=False).loss
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = inner.base_model(input_ids=ids, use_cache=False).last_hidden_state
    picked = hidden.reshape(-1, hidden.shape[-1])[:trained].clone()
    logits = inner.get_output_embeddings()(picked).float()
    labels = torch.zeros((trained,), dtype=torch.long)
    return functional.cross_entropy(logits, labels, reduction="sum")


def main() -> int:
    """Answer one request."""
    # PEFT imports it wherever it is installed, with torch's compiler behind it: two seconds.
    sys.modules.setdefault("bitsandbytes", None)  # type: ignore[arg-type]
    torch.set_num_threads(1)
    json.dump(trace(json.load(sys.stdin)), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
