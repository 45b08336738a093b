"""Finds named things in plain words: method, model, columns, format, state, machine, prompt."""

# One pattern a line reads as a table; wrapping them would hide it.
# ruff: noqa: E501

from __future__ import annotations

import re

from assistant.brains.guided.patterns import phrase
from assistant.brains.guided.wording import Utterance

Values = dict[str, object]

_FAMILIES = (
    "qwen|llama|phi|gemma|mistral|mixtral|smollm|tinyllama|distilgpt|dialogpt|gpt|pythia|bloomz?|"
    "falcon|deepseek|olmo|granite|stablelm|mamba|rwkv|zephyr|vicuna|openelm|cerebras"
)
_MODEL = re.compile(
    rf"\b(?:(?:{_FAMILIES})(?:[- ]?\d+(?:\.\d+)?(?![\w.]*[bm]\b|[\w]))?(?:[- ](?:mini|small|medium|large|tiny|base|instruct|"
    rf"coder|neo|neox|j|xl|chat|it|code|vision|v\d(?:\.\d)?|\d{{4}}))*"
    rf"(?:[- ]\d+(?:\.\d+)?\s?[bm]\b)?(?:[- ](?:instruct|chat|base|it|mini|v\d(?:\.\d)?))*)(?![\w])"
)
_SIZED = re.compile(
    r"\b(?:an?|the|your)? ?(\d+(?:\.\d+)?)\s?(b|billion|m|million)\b(?: parameters?)? ?(?:model|base|parameters?|llm)"
    r"|\ban? (\d+(?:\.\d+)?)(b)\b"
)
_STARTER = re.compile(
    r"\b(?:the |your |that )?(?:starter|built[- ]?in|shipped|bundled|included)(?: base)?(?: model)?\b"
)
_GOAL = re.compile(
    r"(?:\bto|\bthat(?: can| will| should| could)?|\bwhich(?: can| will| should)?|\bwho|\bso that it(?: can)?)"
    r" (?P<goal>(?:automatically )?(?:sort|classif|answer|route|detect|predict|tell|guess|recogni[sz]|label|tag|write|reply|respond|"
    r"summari[sz]|translat|extract|spot|find|identif|categori[sz]|assign|rewrite|generate|decide|distinguish|"
    r"understand|judge|rate|mark|flag|read|speak|talk|complete|group|name|say|know)\w*"
    r"(?: (?!(?:on|from|using|with|in|and then|then|please) (?:file|hub|the data|my data|rank|lora|the file))[^.,;:!?]+?)?)"
    r"(?= (?:on|from|using|with|in|out of|based on) (?:file|hub|the (?:data|file)|my (?:data|file)|rank|lora|qlora|dora|\d)| please\b|[.,;:!?]|$)"
)
_WORD = r"(?:the )?(?:column |field )?(?:quote\d+|[a-z_][\w]*)"
_STOP_WORDS = (
    "the a an it that this as and is are column columns field fields be one other data file model of my your its"
    " for to in on with from use using please both all which what same first last second third comes should"
)
_COLUMN_STOP = frozenset(_STOP_WORDS.split())
_INPUT = (
    r"(?:input|source|prompt|text|question|in)(?: column| field)?(?: name)?(?: is| should be| =|=|:| comes from| from| are)+ (?:the )?(?:column |field )?(?P<c>quote\d+|[\w]+)",
    r"(?:column |field )?(?P<c>quote\d+|[\w]+)(?: column| field)?(?: is| as| for| be| being| should be| will be)(?: the| my| an| its)? (?:input|source|prompt)\b",
    r"(?:input|source|prompt) column (?:named |called )?(?P<c>quote\d+|[\w]+)",
    r"(?:reads?|take|uses?|using) (?:from )?(?:the )?(?:column|field) (?P<c>quote\d+|[\w]+)(?! (?:as|for)(?: the)? (?:output|answer|label|target))",
    r"learns? (?:\w+) from (?P<c>quote\d+|[\w]+) in\b",
    r"(?:predict|guess|learn|infer|derive|tell)\w* (?:the )?[\w]+ (?:from|out of|based on|given) (?:the )?(?:column )?(?P<c>quote\d+|[\w]+)",
    r"from (?:the )?(?:column |field )(?P<c>quote\d+|[\w]+) (?:to|predict)",
    r"map(?:ping)? (?P<c>quote\d+|[\w]+) to (?:quote\d+|[\w]+)",
    r"columns? (?P<c>quote\d+|[\w]+) (?:to|->|and) (?:quote\d+|[\w]+)",
)
_OUTPUT = (
    r"(?:output|answer|label|target|completion|response|class)(?: column| field)?(?: name)?(?: is| should be| =|=|:| comes from| from| are)+ (?:the )?(?:column |field )?(?P<c>quote\d+|[\w]+)",
    r"(?:column |field )?(?P<c>quote\d+|[\w]+)(?: column| field)?(?: is| as| for| be| being| should be| will be)(?: the| my| an| its)? (?:output|answer|label|target|completion|response)s?\b",
    r"(?:output|answer|label|target) column (?:named |called )?(?P<c>quote\d+|[\w]+)",
    r"(?:answers?|reply|replies|respond|output|predicts?|learn)(?: with| by| using|s)? (?:the )?(?:column|field) (?P<c>quote\d+|[\w]+)",
    r"answers? with (?:the )?(?P<c>quote\d+|[\w]+)",
    r"learns? (?:the )?(?P<c>quote\d+|[\w]+) from (?:quote\d+|[\w]+) in\b",
    r"(?:predict|guess|infer|derive)\w* (?:the )?(?:column )?(?P<c>quote\d+|[\w]+) (?:from|out of|based on|given) (?:the )?(?:column )?(?:quote\d+|[\w]+)",
    r"from (?:the )?(?:column |field )(?:quote\d+|[\w]+) (?:to|predict)(?: the)? (?:column |field )?(?P<c>quote\d+|[\w]+)",
    r"map(?:ping)? (?:quote\d+|[\w]+) to (?P<c>quote\d+|[\w]+)",
    r"columns? (?:quote\d+|[\w]+) (?:to|->|and) (?P<c>quote\d+|[\w]+)",
)
_STATES = (
    ("failed", r"fail\w*|broke\w*|crash\w*|went wrong|errors?|died|unsuccessful"),
    ("running", r"running|active|in progress|going on|under way|currently training|still training"),
    ("queued", r"queued?|waiting|pending"),
    ("succeeded", r"succe\w+|finished|completed|done|successful|good"),
    ("cancelled", r"cancel\w*|stopped|aborted"),
    ("interrupted", r"interrupt\w*|cut off|unfinished|paused"),
    ("lost", r"lost"),
)


def find_model(said: Utterance) -> str | None:
    """Return the base model that is named, as it was typed where it is a Hub name."""
    for match in re.finditer(r"\bhub\d+\b", said.plain):
        before = said.plain[: match.start()]
        if not re.search(
            r"\b(?:data|dataset|rows|file) (?:set )?(?:is |from |called |named )?$", before
        ) and (
            not re.search(
                r"\b(?:train\w*|finetun\w*|tun\w*|learn\w*) (?:it |a model |the model |\w+ )?(?:on|from|using|with data) (?:the )?$",
                before,
            )
            or "file0" in said.plain
        ):
            return said.value(match[0])
    folder = re.search(
        r"\b(?:model|base|checkpoint|weights)(?: is| in| at| from| called| named| folder)* (file\d+)",
        said.plain,
    )
    if folder:
        return said.value(folder[1])
    if _STARTER.search(said.plain):
        return "starter"
    for match in _MODEL.finditer(said.plain):
        after = said.plain[match.end() : match.end() + 4]
        if phrase("NOT_THIS").search(said.plain[: match.start()]) or after.startswith(
            (".cpp", "cpp")
        ):
            continue
        return match[0].strip()
    return None


def find_goal(plain: str) -> str | None:
    """Return what the model shall do: `sort my support tickets`."""
    match = _GOAL.search(plain)
    if not match:
        return None
    goal = re.sub(r"\b(?:file|quote|hub|job)\d+\b", "", match["goal"])
    return " ".join(goal.split()).strip(" '")[:200] or None


def find_columns(said: Utterance) -> Values:
    """Return which columns are read and which are answered with."""
    values: Values = {}
    for name, patterns in (("input_column", _INPUT), ("output_column", _OUTPUT)):
        for pattern in patterns:
            match = re.search(rf"\b{pattern}", said.plain)
            if (
                match
                and match["c"] not in _COLUMN_STOP
                and not re.match(r"(?:file|hub|job)\d", match["c"])
            ):
                values[name] = _as_typed(said, match["c"])
                break
    told = re.search(r"\b(?:column|field)s?\b|\bquote\d", said.plain)
    if values.get("input_column") == values.get("output_column") or (len(values) == 1 and not told):
        return {}
    return values


def _as_typed(said: Utterance, word: str) -> str:
    if re.fullmatch(r"quote\d+", word):
        return said.value(word)
    match = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", said.raw, re.I)
    return match[0] if match else word


def find_template(said: Utterance) -> str | None:
    """Return a quoted text template: one with a placeholder such as `{question}`."""
    for quote in said.quotes:
        if re.search(r"\{\w+\}", quote):
            return quote.replace("\\n", "\n")
    if match := re.search(r"template:?\s+(\S.*\{\w+\}\S*)", said.raw, re.I | re.S):
        return match[1].strip()
    return None


def find_format(plain: str) -> Values:
    """Return format and precision of an export."""
    values: Values = {}
    formats = (
        ("gguf", r"gguf|llama\.?cpp|ollama"),
        ("merged", r"merged?|full weights|one folder|safetensors|single model"),
        ("onnx", r"onnx(?:runtime)?"),
        ("adapter", r"adapters?|lora weights|lora files?"),
    )
    for name, pattern in formats:
        hit = re.search(rf"\b(?:{pattern})\b", plain)
        if hit and not phrase("NOT_THIS").search(plain[: hit.start()]):
            values["format"] = name
            break
    for name, pattern in (
        ("int4", r"int4|4bit|q4\w*|4 bits?"),
        ("int8", r"int8|8bit|q8\w*"),
        ("fp16", r"fp16|float16|half precision|16bit|f16"),
        ("bf16", r"bf16|bfloat16"),
        ("fp32", r"fp32|float32|full precision|32bit|f32|unquantized|without quantization"),
    ):
        hit = re.search(rf"\b(?:{pattern})\b", plain)
        if hit and not phrase("NOT_THIS").search(plain[: hit.start()]):
            values["precision"] = name
            break
    if "precision" not in values and re.search(
        r"\bquantized?\b|\b(?:as )?small(?:est)?(?: as possible| (?:version|file|one|build))\b",
        plain,
    ):
        values["precision"] = "int4"
    return values


def find_device(plain: str) -> str | None:
    """Return where it shall run."""
    if re.search(
        r"\b(?:cuda|(?:on|for) (?:the |an? |my )?(?:nvidia )?(?:gpu|nvidia (?:card|chip)|graphics card)|gpu (?:build|version|export))\b",
        plain,
    ):
        return "cuda"
    if re.search(
        r"\b(?:on|for|with|using) (?:the |a |my |plain )?cpu\b|\bcpu (?:only|build|version)\b",
        plain,
    ):
        return "cpu"
    return None


def find_state(plain: str) -> str | None:
    """Return the state of runs that are asked for."""
    for name, pattern in _STATES:
        if re.search(rf"\b(?:{pattern})\b", plain):
            return name
    return None


def find_limit(plain: str) -> int | None:
    """Return how many are asked for: `the last 5 runs`."""
    match = re.search(
        r"\b(?:last|latest|newest|recent|top|first|most recent) (\d{1,3})\b"
        r"|\b(\d{1,3}) (?:last|latest|newest|most recent|recent) ",
        plain,
    )
    return int(match[1] or match[2]) if match else None
