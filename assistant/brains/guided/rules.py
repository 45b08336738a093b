"""Rules that weigh wishes against each other where their words overlap."""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property

from assistant.brains.guided.choices import pattern_of
from assistant.brains.guided.cues import ENOUGH
from assistant.brains.guided.patterns import phrase

Scores = dict[str, float]
_WEAK_PREPARE = 2.4
_PLAIN_SYMPTOM = 3.0
_LESS_THAN_TROUBLE = frozenset(
    {"show", "evaluate", "explain", "hardware", "estimate", "start", "inspect", "help"}
    | {"recommend", "try"}
)


class Clause:
    """The words of a clause, and what they name."""

    def __init__(self, text: str) -> None:
        self.text = text

    def says(self, pattern: str) -> bool:
        """Return whether a pattern is found in the words."""
        return bool(re.search(rf"\b(?:{pattern})\b", self.text))

    def speaks_of(self, section: str) -> bool:
        """Return whether a named pattern is found in the words."""
        return bool(phrase(section).search(self.text))

    @cached_property
    def names_job(self) -> bool:
        """Whether a run's id stands in it."""
        return self.says(r"job\d+")

    @cached_property
    def names_file(self) -> bool:
        """Whether a file stands in it."""
        return self.says(r"file\d+")


def is_question(clause: str) -> bool:
    """Return whether a clause asks rather than requests."""
    asks = re.search(r"\b(?:should|what|which|how)\b.*\?$", clause)
    if phrase("REQUEST").search(clause) and not asks:
        return False
    return bool(phrase("QUESTION").search(clause) or phrase("ASKS_AT_LAST").search(clause))


def _a_run_or_a_file(scores: Scores, words: Clause) -> None:
    """With a name in it, a clause is about that run or file, not about the field."""
    named_thing = words.names_job or words.names_file
    if named_thing and "explain" in scores and not words.speaks_of("ABOUT_THE_FIELD"):
        scores["explain"] -= 2
    if words.names_job and not words.names_file and "inspect" in scores:
        scores["show"] = max(scores.get("show", 0), scores.pop("inspect"))
    of_a_run = words.says("runs?|training|tuning|job|model|finished|done|progress")
    if words.names_file and not words.names_job and "show" in scores and not of_a_run:
        scores["inspect"] = max(scores.get("inspect", 0), scores.pop("show"))


def _a_run_on_a_file(scores: Scores, words: Clause) -> None:
    """`tickets-7 on other.csv` is a judgement, unless it is said to be something else."""
    if words.names_file and words.speaks_of("KEEPS_LEARNING"):
        scores["start"] = max([3.6, *scores.values()])
        for other in ("resume", "evaluate"):
            scores.pop(other, None)
        return
    on_a_file = words.says(r"(?:on|with|against|over|using|for) (?:the |my )?(?:\w+ )?file\d+")
    trains = words.says(r"(?:re)?(?:train|tun|start)\w*")
    taken = {"evaluate", "export", "try", "forget"} & scores.keys()
    trains = trains or words.speaks_of("SAME_BASE")
    if words.names_job and on_a_file and not trains and not taken:
        scores["evaluate"] = 3.4
    if {"recommend", "evaluate"} <= scores.keys() and words.names_file and not words.names_job:
        scores["recommend"] += 1
    if {"start", "try"} <= scores.keys() and (words.names_file or "sample" in words.text):
        scores.pop("try")


def _price_or_advice(scores: Scores, words: Clause) -> None:
    if "estimate" in scores and ("explain" in scores or "recommend" in scores):
        advice = "recommend" in scores and words.speaks_of("WAY") and not words.speaks_of("MEASURE")
        scores["recommend" if advice else "estimate"] += 1


def _several_methods(scores: Scores, words: Clause) -> None:
    if "compare" in scores and words.says("runs?|jobs?|trainings?|one|who"):
        return
    several = len(set(re.findall(r"\b(?:lora|qlora|dora|full)\b", words.text))) > 1
    if several and scores.get("explain", 0) + scores.get("recommend", 0) > 0:
        scores["recommend" if words.names_file else "explain"] = 4.0


def _judging_or_explaining(scores: Scores, words: Clause) -> None:
    of_the_run = "the (?:\\w+ )?model|my|it|run|the (?:f1|accuracy|score|perplexity|verdict)"
    if {"explain", "evaluate"} <= scores.keys() and words.says(of_the_run):
        scores["evaluate"] += 1


def _advice_or_explaining(scores: Scores, words: Clause) -> None:
    if not {"recommend", "explain"} <= scores.keys():
        return
    own = words.says("my|our|this|i have|we have|gb|for (?:it|that|this)")
    speaker = not words.speaks_of("FIELD") and words.says("i|we")
    explicit = scores["recommend"] >= scores["explain"] + 0.5
    mine = words.names_file or own or speaker or explicit
    scores["recommend" if mine else "explain"] += 1


def _no_run_to_judge(scores: Scores, words: Clause) -> None:
    if {"explain", "evaluate"} <= scores.keys() and not words.says(
        r"job\d+|my|model|it|run|the (?:last|new)|tuning|this"
    ):
        scores["evaluate"] -= 1
    if "evaluate" in scores and words.says("about (?:the )?(?:perplexity|f1|accuracy)"):
        scores.pop("evaluate")


def _this_machine(scores: Scores, words: Clause) -> None:
    here = words.says("have|free|this (?:machine|computer|pc|laptop|box)")
    of_a_run = words.says(r"(?:need|train|tun|fit|run|take)\w*")
    if {"hardware", "estimate"} <= scores.keys() and here and not of_a_run:
        scores.pop("estimate")


def _looking_at_a_run(scores: Scores, words: Clause) -> None:
    if "diagnose" in scores and "show" in scores:
        scores["diagnose"] += 1
    if "evaluate" in scores and "show" in scores:
        scores["evaluate"] += 0.5


def _export_or_training(scores: Scores, words: Clause) -> None:
    a_method = rf"\b(?:an?|another) (?:\w+ )?{pattern_of('method')}"
    on_its_base = words.names_file and words.speaks_of("SAME_BASE")
    about_a_run = words.names_job or words.says(r"export\w*|onnx|gguf|merge\w*")
    a_new_one = on_its_base or re.search(a_method, words.text)
    if "export" in scores and a_new_one and not about_a_run:
        scores["start"] = max(scores.pop("export"), scores.get("start", 0))
        return
    if not {"export", "start"} <= scores.keys():
        return
    kind = words.says("onnx|gguf|int4|fp16|fp32|merged|adapter")
    trains = words.says("train|tune|finetune|teach")
    another = words.speaks_of("SAME_BASE") and not words.says("export")
    if words.says("export") or (kind and not words.names_file and not trains and not another):
        scores.pop("start")


def _a_model_there_is(scores: Scores, words: Clause) -> None:
    if {"models", "jobs"} <= scores.keys() and words.says("my|i|trained"):
        scores["jobs"] += 1
    of_a_model = words.says(r"(?:the|my|our) (?:\w+ )?model") and not words.names_file
    if "prepare" in scores and of_a_model and not words.says("data|rows|file|duplicates|split"):
        scores["export"] = max(scores.get("export", 0), scores.pop("prepare"))
    tuned = r"(?:the|my|our|this|that|last) (?:\w+ )?(?:trained|tuned|finetuned) model"
    if "start" in scores and words.says(tuned) and scores["start"] < 3:
        scores["start"] -= 1


def _preparing_or_training(scores: Scores, words: Clause) -> None:
    if not {"prepare", "start"} <= scores.keys():
        return
    of_training = words.says(r"epochs?|rank|learning rate|lr|steps|seed|alpha|early stopping")
    if scores["start"] >= ENOUGH and (of_training or re.search(pattern_of("method"), words.text)):
        scores.pop("prepare")
        return
    if scores["prepare"] < _WEAK_PREPARE:
        scores.pop("prepare")
    elif scores["prepare"] >= 2.5 and not words.says(
        "(?:train|finetune|tune|teach) (?:a|it|the|on|with|me|this|that)"
    ):
        scores.pop("start")


def _trouble(scores: Scores, words: Clause) -> None:
    """A symptom is a trouble where it is told of a run; asked ahead it is a price, of data a look."""
    if "diagnose" not in scores:
        return
    asks = is_question(words.text)
    orders = re.match(
        r"(?:(?:please|now|ok|so|and|then|just) )*(?:train|finetune|tune|teach)\b", words.text
    )
    if orders and scores.get("start", 0) >= ENOUGH and not words.names_job:
        scores.pop("diagnose")
        return
    if (scores.get("cancel", 0) >= ENOUGH and not asks) or (
        "estimate" in scores and (words.speaks_of("AHEAD") or not words.speaks_of("SYMPTOM"))
    ):
        scores.pop("diagnose")
    elif asks and words.speaks_of("IN_GENERAL") and not words.speaks_of("OF_ONES_OWN"):
        scores["explain"] = max(scores.get("explain", 0), scores.pop("diagnose"))
    elif _is_of_data(scores, words):
        scores.pop("diagnose")
        scores["inspect"] = max(scores.get("inspect", 0), 2.4)
    elif scores["diagnose"] >= _PLAIN_SYMPTOM:
        most = max((s for name, s in scores.items() if name in _LESS_THAN_TROUBLE), default=0)
        scores["diagnose"] = max(scores["diagnose"], most + 0.1)


def _is_of_data(scores: Scores, words: Clause) -> bool:
    if words.names_job or words.says(
        "runs?|training|tuning|models?|loss|memory|log|answers?|trained"
    ):
        return False
    return words.names_file or "inspect" in scores


def _several_runs(scores: Scores, words: Clause) -> None:
    """A search is a training, though the best settings are asked for; runs side by side are not judged."""
    counted = words.says(r"\d+ (?:\w+ )?(?:trials|variants|attempts|combinations)")
    searches = words.speaks_of("SEARCH") and not is_question(words.text)
    if searches and (counted or "start" in scores):
        scores["start"] = max(scores.get("start", ENOUGH), scores.get("recommend", 0) + 0.1)
    if scores.get("compare", 0) >= _PLAIN_SYMPTOM:
        for other in ("evaluate", "explain", "show", "jobs", "recommend", "try"):
            if other in scores:
                scores[other] = min(scores[other], scores["compare"] - 0.1)


def _what_is_trained(scores: Scores, words: Clause) -> None:
    """What is masked is seen on the rows; the guide answers where no data is at hand."""
    if words.speaks_of("LENS") and not words.speaks_of("ASKS_FOR_A_MEANING"):
        scores["inspect"] = max([scores.get("inspect", 0.0), *scores.values()]) + _PLAIN_SYMPTOM
    elif words.speaks_of("OUR_ACCURACY"):
        scores["estimate"] = max([scores.get("estimate", 0.0), *scores.values()]) + 0.1


def _goes_there(scores: Scores, words: Clause) -> None:
    """A model or method with a card and a question asks whether it fits."""
    if not (words.speaks_of("HARDWARE") and words.speaks_of("FITTING")):
        return
    what = words.speaks_of("MODEL_NAMED") or re.search(pattern_of("method"), words.text)
    if not what or words.says(r"train\w* (?:it|on file\d)"):
        return
    intent = "recommend" if words.speaks_of("CHOOSING") else "estimate"
    others = ("hardware", "explain", "models", "estimate", "recommend", "start", "inspect")
    if "models" in scores and scores["models"] > scores.get(intent, 0):
        return
    scores[intent] = (
        max([scores.get(intent, 0.0), 3.0, *(scores.get(o, 0.0) for o in others)]) + 0.1
    )


def _a_model_or_data(scores: Scores, words: Clause) -> None:
    """`is it good enough` asks of a model, where one is named."""
    of_a_model = words.says(r"(?:the|my|our|tuned|new) (?:\w+ )?(?:model|run|adapter)|job\d+")
    of_data = words.names_file or words.says("data(?:set)?|rows|labels?|columns?|file")
    if "inspect" in scores and of_a_model and not of_data and not words.speaks_of("LENS"):
        scores["evaluate"] = max(scores.get("evaluate", 0), scores.pop("inspect"))


def _asks_rather(scores: Scores, words: Clause) -> None:
    """Nouns with a question mark, such as `memory for dora on it?`, are no wish to train."""
    asks = words.text.rstrip().endswith("?") and not words.speaks_of("REQUEST")
    told = {"estimate", "recommend", "explain"} & {k for k, v in scores.items() if v >= ENOUGH}
    if asks and told and "start" in scores and not re.match(r"(?:please )?\w*train", words.text):
        scores.pop("start")


def _lists(scores: Scores, words: Clause) -> None:
    if {"jobs", "inspect"} <= scores.keys() and not words.names_file:
        scores["jobs"] += 1
    if {"identity", "models"} <= scores.keys():
        scores.pop("models")


RULES: tuple[Callable[[Scores, Clause], None], ...] = (
    _a_run_or_a_file,
    _a_run_on_a_file,
    _price_or_advice,
    _several_methods,
    _judging_or_explaining,
    _advice_or_explaining,
    _no_run_to_judge,
    _this_machine,
    _looking_at_a_run,
    _export_or_training,
    _a_model_there_is,
    _preparing_or_training,
    _lists,
    _a_model_or_data,
    _trouble,
    _goes_there,
    _several_runs,
    _asks_rather,
    _what_is_trained,
)
"""In this order: each sees what the ones before it left."""
