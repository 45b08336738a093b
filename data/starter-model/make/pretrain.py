"""Pre-train the starter model from scratch on the generated corpus, on a CPU.

Run ``python data/starter-model/make/pretrain.py --tokens 12e6``. Checkpoints go to a temporary
folder; the finished model is written into ``data/starter-model`` unless ``--out`` says otherwise.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from itertools import islice
from pathlib import Path

import torch
from corpus import clean_documents
from tokenizer import CONTEXT_TOKENS, check_tokenizer, save_tokenizer, train_tokenizer
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SHIPPED = Path(__file__).resolve().parents[1]
SEED = 7
TOKENIZER_DOCUMENTS = 20_000
# Most messages are short, and short blocks run faster on a CPU; every tenth step teaches distance.
SHORT_BLOCK_TOKENS = 128
LONG_BLOCK_TOKENS = 512
LONG_EVERY = 10
STEP_TOKENS = 4_096
MUON_LEARNING_RATE = 0.02
ADAMW_LEARNING_RATE = 3e-3
WARMUP_SHARE = 0.02
# The last part of the run falls linearly to zero; before it the rate is constant.
DECAY_SHARE = 0.45


def model_config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """Llama shape whose linear layers suit 4-bit packing (inputs x 64, outputs x 32)."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_TOKENS,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="bfloat16",
    )


class PackedText:
    """Documents of the corpus, packed without gaps."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
        self._tokenizer = tokenizer
        self._documents = clean_documents(10**9, seed)
        self._carry: list[int] = []

    def batch(self, block_tokens: int) -> torch.Tensor:
        """Return ids of shape ``[STEP_TOKENS / block_tokens, block_tokens + 1]``."""
        rows = STEP_TOKENS // block_tokens
        need = rows * block_tokens + 1
        while len(self._carry) < need:
            texts = list(islice(self._documents, 2_000))
            for ids in self._tokenizer(texts, add_special_tokens=False)["input_ids"]:
                self._carry += [self._tokenizer.bos_token_id, *ids, self._tokenizer.eos_token_id]
        flat = torch.tensor(self._carry[:need])
        self._carry = self._carry[need - 1 :]
        starts = torch.arange(rows)[:, None] * block_tokens
        return flat[starts + torch.arange(block_tokens + 1)]


def rate_factor(step: int, steps: int) -> float:
    """Warm up, stay, then fall linearly to zero."""
    warmup = max(1, round(steps * WARMUP_SHARE))
    if step < warmup:
        return (step + 1) / warmup
    return min(1.0, (steps - step) / (steps * DECAY_SHARE))


def optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for the embedding and the norms."""
    matrices, rest = [], []
    for name, parameter in model.named_parameters():
        (matrices if parameter.ndim == 2 and "embed" not in name else rest).append(parameter)
    return [
        torch.optim.Muon(matrices, lr=MUON_LEARNING_RATE, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=ADAMW_LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def ship(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write weights in bf16, configs and tokenizer."""
    copy = LlamaForCausalLM(model.config)
    copy.load_state_dict(model.state_dict())
    copy = copy.to(torch.bfloat16)
    copy.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=64,
    )
    copy.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)


def train(tokens: int, threads: int, work: Path, folder: Path) -> None:
    """Train on ``tokens`` tokens and write the model to ``folder``."""
    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(clean_documents(TOKENIZER_DOCUMENTS, SEED))
    check_tokenizer(tokenizer)
    model = LlamaForCausalLM(model_config(tokenizer)).float().train()
    compiled = torch.compile(model, dynamic=False)
    steps = math.ceil(tokens / STEP_TOKENS)
    groups = optimizers(model)
    base_rates = [group.param_groups[0]["lr"] for group in groups]
    source = PackedText(tokenizer, SEED + 1)
    started, running = time.monotonic(), 0.0
    for step in range(steps):
        is_long = step % LONG_EVERY == LONG_EVERY - 1
        batch = source.batch(LONG_BLOCK_TOKENS if is_long else SHORT_BLOCK_TOKENS)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = compiled(input_ids=batch[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), batch[:, 1:].flatten()
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, rate in zip(groups, base_rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * rate_factor(step, steps)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        running = loss.item() if step == 0 else 0.98 * running + 0.02 * loss.item()
        if step % 20 == 0 or step == steps - 1:
            done, duration_s = (step + 1) * STEP_TOKENS, time.monotonic() - started
            print(f"{step}/{steps} loss {running:.3f} {done / duration_s:.0f} tok/s", flush=True)
        if step and step % 200 == 0:
            ship(model, tokenizer, work / "checkpoint")
    ship(model, tokenizer, folder)
    facts = {
        "name": "luthier-starter",
        "licence": "Apache-2.0",
        "architecture": "LlamaForCausalLM",
        "parameters": model.num_parameters(),
        "context_tokens": CONTEXT_TOKENS,
        "vocabulary": len(tokenizer),
        "corpus_tokens": steps * STEP_TOKENS,
        "pretraining": {
            "command": f"python data/starter-model/make/pretrain.py --tokens {tokens:.3g}",
            "duration_s": round(time.monotonic() - started),
            "threads": threads,
            "final_loss": round(running, 4),
            "seed": SEED,
        },
    }
    (folder / "card.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(facts, flush=True)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=float, default=12e6)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "starter")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    arguments = parser.parse_args()
    train(int(arguments.tokens), arguments.threads, arguments.work, arguments.out)


if __name__ == "__main__":
    main()
