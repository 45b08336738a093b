"""Finds machines in plain words: the one to train on, and the one that the result will run on."""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re

_TARGETS = (
    ("gguf", r"gguf|llama\.?cpp|ollama|lm ?studio|koboldcpp"),
    (
        "onnx-cuda",
        r"onnx[- ]cuda|onnx(?: ?runtime)? (?:on|for|with) (?:the |an? )?(?:\w+ )?(?:gpu|cuda)|(?:gpu|cuda) (?:with|through|via|over) onnx|cuda",
    ),
    (
        "onnx-cpu",
        r"onnx[- ]cpu|phones?|android|ios|iphone|ipad|tablets?|mobile|browser|edge|raspberry|embedded|iot|laptops?|notebooks?|cpu|npu|onnx",
    ),
    (
        "hosted",
        r"cloud api|hosted(?: api| endpoint| service)?|openai|azure|foundry|serverless|model as a service",
    ),
    (
        "hf",
        r"servers?|data ?cent(?:er|re)|vllm|transformers|hugging ?face|tgi|text generation inference",
    ),
)
_NAMED_TARGET = r"gguf|llama\.?cpp|ollama|lm ?studio|onnx\w*|vllm|azure|foundry"
_DEPLOYED = re.compile(
    r"\b(?:deploy\w*|run(?:s|ning)? (?:it |the result |the model )?(?:later |then |afterwards |in the end |finally )?(?:on|in|with|through|under)|"
    r"use (?:it|the result|the model) (?:later )?(?:on|in|with)|target\w*|end up (?:on|in|as)|load (?:it|the \w+) (?:in|into|with)|"
    r"live (?:on|in)|goes? (?:on|to|into)|put it (?:on|in|into)|serve\w*|shipped? (?:it )?(?:to|for|with|on)|"
    rf"(?:need|want|have|get|require)s? (?:it|the (?:model|result)|this|that) (?:\w+ )?(?:as|on|in|for)|as (?:an? )?(?={_NAMED_TARGET})|"
    rf"(?:later|in the end|finally|eventually|afterwards)\b.{{0,30}}?(?={_NAMED_TARGET}))\b(.{{0,48}})"
)
_MEANT_FOR = re.compile(r"\bfor (?:an?|my|the|our)\b(.{0,40})")
_TARGET_AHEAD = re.compile(
    rf"\b({_NAMED_TARGET})\b.{{0,30}}\b(?:later|in the end|at the end|finally|eventually|afterwards|target)\b"
)
_SIZED = re.compile(
    r"\b(?P<n>\d{1,3})(?: ?x ?| )(?:(?:nvidia|gaming|used|old) )?(?P<gb>\d+(?:\.\d+)?) ?(?:gb|gib|gigs?)(?= ?(?:gpus?|cards?|graphics cards?|vram|each|\b))"
)
_TIMES = re.compile(r"\b(?P<gb>\d+(?:\.\d+)?) ?(?:gb|gib|gigs?) ?(?:x|times|\*) ?(?P<n>\d{1,2})\b")
_CARDS_OF = re.compile(
    r"\b(?P<n>\d{1,3}) ?x? ?(?:gpus?|cards?|graphics cards?)\b.{0,24}?\b(?P<gb>\d+(?:\.\d+)?) ?(?:gb|gib|gigs?)\b"
)
_NAMED = re.compile(
    r"\b(?:(\d+) ?x? ?)?(?:nvidia )?(?:rtx ?|geforce ?|gtx ?|tesla |quadro )?(?:\d{4}(?: ?ti| ?super)|[2-5]0[5-9]0|a100|h100|h200|"
    r"b200|a10g?|a40|a30|l40s?|l4|t4|v100|p100|k80|a6000|a5000|a4000|mi\d{3}x?|m[1-4](?: (?:pro|max|ultra))?)s?(?= |$|[.,?!;])(?: ?(?:gpus?|cards?|\d+ ?gb))?"
)

_SMALL = re.compile(
    r"\b(?:raspberry(?: pi)?|jetson(?: nano| orin)?|chromebook|macbook(?: air| pro)?|mac mini|imac)\b"
    r"(?: \d(?!\d))?(?:,? (?:with|of|and)? ?\d+ ?(?:gb|gigs?)(?: (?:of )?(?:ram|memory))?)?"
)
"""Computers that are no card; how much memory they have must be said with them."""


def find_target(plain: str, *, firm: bool = False) -> str | None:
    """Return where the tuned model will run.

    Args:
        firm: Only where it is said so, not where it may be the machine to train on.
    """
    spans = [match[1] for match in _DEPLOYED.finditer(plain)]
    spans += [match[1] for match in _TARGET_AHEAD.finditer(plain)]
    if not firm:
        spans += [match[1] for match in _MEANT_FOR.finditer(plain)]
    for span in spans:
        for name, pattern in _TARGETS:
            if re.search(rf"\b(?:{pattern})\b", span):
                return name
    return None


def find_hardware(plain: str) -> str | None:
    """Return a machine in words, such as `2x24GB` or `rtx 4090`."""
    sized = _SIZED.search(plain) or _TIMES.search(plain) or _CARDS_OF.search(plain)
    if sized and int(sized["n"]) > 1:
        return f"{sized['n']}x{sized['gb']}GB"
    small = _SMALL.search(plain)
    if small and find_target(plain) is None:
        return small[0]
    named = _NAMED.search(plain)
    if not named or not named[0].strip():
        return None
    counted = re.search(r"\b(\d{1,2}|both|pair of) ?x? ?$", plain[: named.start()])
    many = f"{counted[1].replace('both', '2').replace('pair of', '2')}x " if counted else ""
    return f"{many}{named[0].strip()}"
