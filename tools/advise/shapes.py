"""The shape of a causal language model: its matrices, and what is counted from them."""

from __future__ import annotations

from dataclasses import dataclass

from tools.errors import BadInput


@dataclass(frozen=True)
class Linear:
    """One kind of weight matrix in every layer; `copies` counts experts, `active` those used."""

    name: str
    inputs: int
    outputs: int
    bias: bool = False
    copies: int = 1
    active: int = 1
    block: str = "mlp"

    @property
    def parameters(self) -> int:
        """Weights and biases of all copies."""
        return self.copies * (self.inputs * self.outputs + (self.outputs if self.bias else 0))


@dataclass(frozen=True)
class Shape:
    """What memory, time and parameter counts are computed from.

    Attributes:
        gated: The feed-forward block multiplies two projections (SwiGLU and relatives).
        layer_extras: Parameters of one layer outside its matrices (norms).
        other_parameters: Final norm, learned positions, biases of the head.
        layer_norms: Norms over the hidden size in one layer.
        sliding_window: Tokens each token looks back at in most layers; None means all.
        inner_dropout: Its own attention and blocks drop out in training.
    """

    family: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    context: int
    tied: bool
    gated: bool
    linears: tuple[Linear, ...]
    layer_extras: int
    other_parameters: int
    layer_norms: int = 2
    sliding_window: int | None = None
    softcapped: bool = False
    inner_dropout: bool = False

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the token embedding (and of the head where it is its own matrix)."""
        return self.vocab * self.hidden * (1 if self.tied else 2)

    @property
    def layer_parameters(self) -> int:
        """Parameters of one layer."""
        return sum(linear.parameters for linear in self.linears) + self.layer_extras

    @property
    def parameters(self) -> int:
        """All parameters."""
        return (
            self.embedding_parameters + self.layers * self.layer_parameters + self.other_parameters
        )

    @property
    def active_parameters(self) -> int:
        """Parameters one token passes through (fewer than all in a mixture of experts)."""
        idle = sum(
            line.parameters * (line.copies - line.active) // line.copies for line in self.linears
        )
        return self.parameters - self.layers * idle

    @property
    def is_mixture(self) -> bool:
        """True for mixtures of experts."""
        return any(linear.copies > 1 for linear in self.linears)

    def targets(self, wanted: str | tuple[str, ...] = "all-linear") -> tuple[Linear, ...]:
        """Return the matrices that an adapter sits beside.

        Raises:
            BadInput: A name that this family does not have.
        """
        if wanted == "all-linear":
            return self.linears
        names = (wanted,) if isinstance(wanted, str) else wanted
        chosen = tuple(linear for linear in self.linears if linear.name in names)
        known = {linear.name for linear in self.linears}
        unknown = [name for name in names if name not in known | {"lm_head", "embed_tokens"}]
        if unknown:
            raise BadInput(
                f"A {self.family} model has no module called {unknown[0]}.",
                hint=f"It has: {', '.join(dict.fromkeys(li.name for li in self.linears))}.",
            )
        return chosen

    def adapter_parameters(
        self, rank: int, wanted: str | tuple[str, ...] = "all-linear", *, dora: bool = False
    ) -> int:
        """Return the parameters of a LoRA adapter: `rank × (in + out)` for every matrix.

        DoRA adds one magnitude per output. Source: LoRA (arXiv 2106.09685), DoRA (2402.09353).
        """
        per_layer = sum(
            li.copies * (rank * (li.inputs + li.outputs) + (li.outputs if dora else 0))
            for li in self.targets(wanted)
        )
        return self.layers * per_layer
