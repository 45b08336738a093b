"""Likelihoods are those of the plain formula, and rows are the tokens that training sees."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.jobs_factory import make_dataset
from tools.context import Context
from tools.shipped import shipped

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def model() -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=60, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, initializer_range=0.3,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def _ids(count: int, low: int, high: int, seed: int) -> list[list[int]]:
    chooser = random.Random(seed)
    return [
        [chooser.randrange(3, 60) for _ in range(chooser.randint(low, high))] for _ in range(count)
    ]


def _plain(model: Any, prompt: list[int], answer: list[int]) -> float:
    import torch

    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([prompt + answer])).logits[0].double()
    scores = torch.log_softmax(logits, -1)
    start = len(prompt) - 1
    return float(sum(scores[start + i, token] for i, token in enumerate(answer)))


@pytest.mark.parametrize("share_cache", [True, False])
def test_choices_are_as_likely_as_the_plain_formula_says(
    model: Any, share_cache: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tools.work import scoring

    if not share_cache:
        monkeypatch.setattr(scoring, "_PLAIN_CACHE_LAYERS", set())
    prompts, choices = _ids(7, 3, 12, 1), _ids(4, 1, 5, 2)
    found = scoring.score_choices(
        model, prompts, choices, [0] * 7, pad=0, batch=3, tick=lambda done: None
    )
    for i, prompt in enumerate(prompts):
        for j, choice in enumerate(choices):
            assert found.sums[i, j] == pytest.approx(_plain(model, prompt, choice), abs=1e-4)
            before = _plain(model, prompt, choice[:-1]) if choice[1:] else 0.0
            last = found.sums[i, j] - found.ends[i, j]
            assert last == pytest.approx(before, abs=1e-4)


def test_choices_of_one_token_are_told_apart_without_their_stops(model: Any) -> None:
    from tools.work import scoring

    prompts = _ids(7, 3, 12, 8)
    choices, own = [[token, 2] for token in (7, 11, 30, 59)], [0, 1, 2, 3, 3, 2, 1]
    found = scoring.score_choices(
        model, prompts, choices, own, pad=0, batch=3, tick=lambda done: None, stops_count=False
    )
    for i, prompt in enumerate(prompts):
        whole = _plain(model, prompt, choices[own[i]])
        assert found.sums[i, own[i]] == pytest.approx(whole, abs=1e-4)
        for j, choice in enumerate(choices):
            alone = _plain(model, prompt, choice[:1])
            assert found.means_without_stop[i, j] == pytest.approx(alone, abs=1e-4)


def test_of_many_choices_the_expected_one_is_always_followed(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tools.work import scoring

    monkeypatch.setattr(scoring, "MOST_CHOICES", 2)
    prompts, choices = _ids(5, 3, 9, 3), _ids(6, 2, 4, 4)
    own = [5, 4, 3, 2, 1]
    found = scoring.score_choices(
        model, prompts, choices, own, pad=0, batch=5, tick=lambda done: None
    )
    assert (np.isfinite(found.sums).sum(axis=1) == 2).all()
    for i, j in enumerate(own):
        assert found.sums[i, j] == pytest.approx(_plain(model, prompts[i], choices[j]), abs=1e-4)


def test_answers_are_as_likely_in_a_batch_as_alone(model: Any) -> None:
    from tools.work.encode import Encoded
    from tools.work.scoring import score_answers

    rows = [Encoded(p, a) for p, a in zip(_ids(9, 2, 14, 5), _ids(9, 1, 8, 6), strict=True)]
    done: list[int] = []
    found = score_answers(model, rows, pad=0, batch=4, tick=done.append)
    assert sum(done) == 9
    for i, row in enumerate(rows):
        assert found.sums[i] == pytest.approx(_plain(model, row.prompt, row.answer), abs=1e-4)


def test_greedy_answers_do_not_depend_on_their_neighbours(model: Any) -> None:
    from tools.work.answers import greedy_answers

    prompts = _ids(6, 2, 10, 7)
    together = greedy_answers(model, prompts, stops=[5], pad=0, max_new_tokens=8)
    alone = [greedy_answers(model, [p], stops=[5], pad=0, max_new_tokens=8)[0] for p in prompts]
    assert together == alone


@pytest.mark.parametrize("name", ["starter", "stories260K"])
def test_rows_are_judged_on_the_tokens_that_were_trained(
    ctx: Context, name: str, request: pytest.FixtureRequest
) -> None:
    from transformers import AutoTokenizer

    from tools.work.encode import encode_row
    from tools.work.heldout import parquet_rows
    from tools.work.rows import encode_split
    from tools.work.template import prepare_tokenizer, stop_token_ids

    folder = shipped("starter-model")
    if name != "starter":
        material: Path = request.getfixturevalue("material")
        folder = material / "models" / name
    tokenizer = prepare_tokenizer(AutoTokenizer.from_pretrained(folder))
    manifest = make_dataset(ctx)
    file = manifest.split_file(ctx.settings.dataset_folder(manifest.id), "validation")
    trained = encode_split(file, "prompt_completion", tokenizer, max_length=400)
    stops = stop_token_ids(tokenizer)
    for row, ids, labels in zip(parquet_rows(file), trained.input_ids, trained.labels, strict=True):
        judged = encode_row(tokenizer, row, stops=stops, max_tokens=400)
        assert judged is not None
        assert judged.prompt + judged.answer == ids
        assert judged.answer == [label for label in labels if label != -100]
