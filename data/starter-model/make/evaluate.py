"""Measure the starter model on the ticket samples, as written in its card.

``python data/starter-model/make/evaluate.py`` scores the untouched base, the tuned model for
each seed and a TF-IDF baseline; ``--control`` tunes a randomly initialised model of the same
shape instead; ``--record`` writes the figures to ``card.json``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from tune import Recipe, Row, accuracies, predict, read_rows, tune

SHIPPED = Path(__file__).resolve().parents[1]
COMMAND = "python data/starter-model/make/evaluate.py"


def wilson_interval(right: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    share = right / total
    centre = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return (round((centre - spread) / scale, 4), round((centre + spread) / scale, 4))


def load(folder: Path, *, random_weights: bool, seed: int) -> Any:
    """Load the model in fp32, or one of the same shape with random weights."""
    if random_weights:
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(
            AutoConfig.from_pretrained(folder), dtype=torch.float32
        )
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def tfidf(training: Sequence[Row], heldout: Sequence[Row]) -> dict[str, float]:
    """Word 1-2 grams and logistic regression, fitted on the same rows."""
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    features = vectorizer.fit_transform([row.text for row in training])
    classifier = LogisticRegression(C=10.0, max_iter=2_000)
    classifier.fit(features, [row.label for row in training])
    answers = classifier.predict(vectorizer.transform([row.text for row in heldout]))
    return accuracies(heldout, [str(answer) for answer in answers])


def tuned(
    folder: Path, recipe: Recipe, seeds: Sequence[int], *, random_weights: bool
) -> dict[str, Any]:
    """Tune once per seed; report each and the mean."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    training = read_rows("support_tickets.csv")
    heldout = read_rows("support_tickets_heldout.csv")
    runs = []
    for seed in seeds:
        model = load(folder, random_weights=random_weights, seed=seed)
        model, seconds = tune(model, tokenizer, training, recipe, seed)
        figures = accuracies(heldout, predict(model, tokenizer, heldout))
        runs.append({"seed": seed, **figures, **seconds})
        print(runs[-1], flush=True)
    mean = {
        key: round(sum(run[key] for run in runs) / len(runs), 4)
        for key in ("accuracy", "seen", "unseen")
    }
    return {**mean, "seeds": runs}


def base(folder: Path) -> dict[str, Any]:
    """Score the untouched model beside the share of the commonest label."""
    heldout = read_rows("support_tickets_heldout.csv")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = load(folder, random_weights=False, seed=0).eval()
    answers = predict(model, tokenizer, heldout)
    _, commonest = Counter(row.label for row in heldout).most_common(1)[0]
    return {
        **accuracies(heldout, answers),
        "majority_share": round(commonest / len(heldout), 4),
        "majority_interval": wilson_interval(commonest, len(heldout)),
        "answers": dict(Counter(answers).most_common()),
    }


def recommended(recipe: Recipe) -> dict[str, Any]:
    """Hyper-parameters of the measured recipe, as the card offers them."""
    return {
        "method": "lora",
        "target_modules": "all-linear",
        **dataclasses.asdict(recipe),
        "optimizer": "adamw",
        "precision": "bf16 autocast over fp32 weights",
        "loss": "completion only",
    }


def main() -> None:
    """Parse the command line, measure, print, and record when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--control", action="store_true")
    parser.add_argument("--record", action="store_true")
    for field in dataclasses.fields(Recipe):
        flag = "--" + field.name.replace("_", "-")
        parser.add_argument(flag, type=type(field.default), default=field.default)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names = [field.name for field in dataclasses.fields(Recipe)]
    recipe = Recipe(**{name: getattr(arguments, name) for name in names})
    found: dict[str, Any] = {}
    if arguments.control:
        control = tuned(arguments.model, recipe, arguments.seeds, random_weights=True)
        found["control"] = {**control, "command": f"{COMMAND} --control"}
    else:
        rows = read_rows("support_tickets.csv"), read_rows("support_tickets_heldout.csv")
        found["base"] = {**base(arguments.model), "command": COMMAND}
        found["tfidf"] = {**tfidf(*rows), "command": COMMAND}
        print(json.dumps(found, indent=1), flush=True)
        figures = tuned(arguments.model, recipe, arguments.seeds, random_weights=False)
        found["tuned"] = {**figures, "command": COMMAND}
        found["recommended"] = recommended(recipe)
    print(json.dumps(found, indent=1))
    if arguments.record:
        card = SHIPPED / "card.json"
        merged = json.loads(card.read_text(encoding="utf-8")) | found
        card.write_text(json.dumps(merged, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
