"""Fills the arguments of a call from a message and from what was spoken of before."""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re
from typing import Any

from assistant.brains.guided import choices, machines, quantities, references, relatives
from assistant.brains.guided.patterns import phrase
from assistant.brains.guided.searching import find_vary
from assistant.brains.guided.view import View

Args = dict[str, Any]

_DATA_WORD = r"(?:data(?:sets?)?|files?|csv|jsonl?|rows|spreadsheet|table|tickets|reviews|examples|sheet|upload|attachment)"
_SAMPLE = re.compile(
    r"\b(?:sample|samples|example data|example file|demo data|demo|shipped|you (?:ship|come|came) with|you ship|comes? with you|built[- ]?in|bundled|example dataset|toy)\b"
)
_REJECTED = re.compile(
    r"(?:\bnot|\binstead of|\brather than|\bno longer|\bforget|n't (?:use|want|mean|take))(?: the)? $"
)
_WITHOUT_THEM = re.compile(
    r"\b(?:clean|prepare|version|make)\b.{0,30}\bwithout (?:them|those|these|the doubles|copies)\b"
)


_NO_PROMPT = frozenset({"it", "this", "that", "out", "please", "me", "again"})


def training_values(view: View) -> Args:
    """Return every wish of a training plan that the message names."""
    said = view.said
    values: Args = dict(quantities.find_quantities(said.plain))
    values |= choices.find_choices(said.plain)
    if varied := find_vary(said.plain):
        values = {name: value for name, value in values.items() if name not in varied}
        values["vary"] = [f"{name}={over}" for name, over in varied.items()]
    if model := references.find_model(said) or _unknown_model(view):
        values["model"] = model
    values |= references.find_columns(said)
    if template := references.find_template(said):
        values["template"] = template
    if target := machines.find_target(said.plain, firm=True):
        values["target"] = target
    if device := references.find_device(said.plain):
        values["device"] = device
    if phrase("KEEP_DUPLICATES").search(said.plain):
        values["dedupe"] = False
    elif phrase("DEDUPE").search(said.plain) or _WITHOUT_THEM.search(said.plain):
        values["dedupe"] = True
    return values


def _unknown_model(view: View) -> str | None:
    """`tune mymodel-x7 on it`: a name that is no run is a model, even one that does not exist."""
    match = re.search(r"\b(?:tune|finetune|train) (job\d+) (?:on|with|using)\b", view.said.plain)
    name = view.said.value(match[1]) if match else None
    return name if name and all(job["id"] != name for job in view.jobs) else None


def relative_values(view: View, base: Args) -> Args:
    """Return new figures for `a smaller batch`, measured on the plan that is spoken of."""
    factors = relatives.find_relative(view.said.plain)
    if not factors:
        return {}
    plan = {**(view.waiting[0]["plan"] if view.waiting else {}), **base}
    changed: Args = {}
    for name, factor in factors.items():
        old = plan.get(name)
        if old:
            new = float(f"{old * factor:.6g}")
            whole = isinstance(old, int) or (name == "epochs" and float(new).is_integer())
            changed[name] = max(1, round(new)) if whole else new
    return changed


def find_path(view: View, *, fallback: bool = True, clause: str | None = None) -> str | None:
    """Return the data that is meant.

    Args:
        fallback: Take the data that was spoken of last where none is named.
        clause: Prefer names in this part of the message.
    """
    named = named_paths(view, clause) or named_paths(view)
    if named:
        return named[0]
    if view.files:
        return view.files[-1]
    plain = view.said.plain
    if sample := _sample(view, plain):
        return sample
    if matched := _by_words(view, plain) or _by_stem(view) or _sample_in_words(view, plain):
        return matched
    if view.path and (fallback or phrase("DEFINITE").search(plain)):
        return view.path
    files = view.state.get("files", [])
    if len(files) == 1 and re.search(rf"\b(?:the|this|that|my|our) (?:\w+ )?{_DATA_WORD}\b", plain):
        return str(files[0])
    return None


def named_paths(view: View, clause: str | None = None) -> list[str]:
    """Return the data files that are written in the message; a base model's folder is none."""
    said = view.said
    plain = said.plain if clause is None else clause
    model = references.find_model(said)
    found: list[str] = []
    for match in re.finditer(r"\b(?:file|hub)\d+\b", plain):
        value = said.value(match[0])
        if value != model and not _REJECTED.search(plain[: match.start()]):
            found.append(value)
    return found


def _sample(view: View, plain: str) -> str | None:
    if not _SAMPLE.search(plain):
        return None
    samples = [str(name) for name in view.state.get("samples", [])]
    best = _best_match(samples, plain)
    if best:
        return best
    tickets = [name for name in samples if name.endswith("support_tickets.csv")]
    return (
        tickets[0]
        if tickets and re.search(r"\b(?:data|file|dataset|demo|sample)\b", plain)
        else None
    )


def _by_words(view: View, plain: str) -> str | None:
    """`my reviews` means reviews.csv where that lies in the folder and nothing else fits."""
    return _best_match([str(name) for name in view.state.get("files", [])], plain)


def _by_stem(view: View) -> str | None:
    """`product_faq` means the file of that name where only one is called so."""
    typed = view.typed.lower()
    stems = {
        name: re.sub(r"\.\w+$", "", name.rsplit("/", 1)[-1].lower()) for name in view.file_names
    }
    found = [n for n, s in stems.items() if "_" in s and re.search(rf"\b{re.escape(s)}\b", typed)]
    return found[0] if len(found) == 1 else None


def _sample_in_words(view: View, plain: str) -> str | None:
    """`train on the product faq`: the sample of that name, where nobody says it is their own."""
    for name in map(str, view.state.get("samples", [])):
        parts = re.findall(r"[a-z]+", re.sub(r"\.\w+$", "", name.rsplit("/", 1)[-1].lower()))
        words = r"[ _-]".join(f"{part.removesuffix('s')}s?" for part in parts)
        pattern = rf"\b(?:on|with|from|using|for|over|of|through|tune|train|take|use) (?:the |your |this |that )?{words}\b"
        if len(parts) > 1 and re.search(pattern, plain):
            return name
    return None


def told_path(view: View) -> str | None:
    """Return the data that this message itself names, by file or by words."""
    plain = view.said.plain
    named = named_paths(view)
    return (
        named[0]
        if named
        else _sample(view, plain) or _by_stem(view) or _sample_in_words(view, plain)
    )


def _best_match(names: list[str], plain: str) -> str | None:
    words = set(re.findall(r"[a-z]{3,}", plain))
    words |= {word.removesuffix("s") for word in words}
    scored: list[tuple[float, str]] = []
    for name in names:
        stem = re.sub(r"\.\w+$", "", name.rsplit("/", 1)[-1].lower())
        parts = [part for part in re.findall(r"[a-z]+", stem) if len(part) > 2]
        hits = sum(part in words or part.removesuffix("s") in words for part in parts)
        if parts and hits == len(parts):
            scored.append((hits, name))
    best = max((score for score, _ in scored), default=0)
    top = [name for score, name in scored if score == best]
    return top[0] if len(top) == 1 else None


def find_prompt(view: View) -> str | None:
    """Return what a model shall be asked, exactly as it was typed."""
    raw, said = view.typed.strip(), view.said
    if match := re.match(
        r"(?is)^[^:\n\"“]{0,90}?\b(?:try|ask|prompt|query|generate|say|test|classify|label|writes?|says?|asks?|answers?|to|with|model|this|following|on it|it)\b[^:\n\"“]{0,40}:\s*(.+)$",
        raw,
    ):
        return _unquoted(match[1])
    if said.quotes:
        return max(said.quotes, key=len)
    patterns = (
        r"(?is)\b(?:somebody|someone|a customer|customer|user|i|one|they|people)\s+(?:writes?|says?|asks?|typed?|tells? (?:it|you))(?: to it)?[,:]?\s+(.+)$",
        r"(?is)\b(?:say|answer|respond|reply|think|predict|call|make)s?\s+(?:to|of|on|about|for|when asked|if asked)\s+(.+)$",
        r"(?is)^(?:\W*(?:please|now|ok|and|can you|could you)\s+)*(?:try|ask|prompt|query)\s+(?:it|the (?:\w+ )?model|my model|the (?:last|latest|tuned) (?:one|run|model))\s+(?:with |on |about |for |to )?(.+)$",
        r"(?is)^(?:\W*(?:please|now|ok|and|can you|could you)\s+)*(?:try|ask|prompt|query)\s+[\w]+(?:-[\w]+)+\s+(?:with |on |about |for |to )(.+)$",
        r"(?is)^(?:\W*(?:please|now)\s+)*(?:classify|label|route|sort|categori[sz]e)\s+(?:this|the following)?\s*[,-]?\s*(.{8,})$",
        r"(?is)^\W*try\s+(?!it\b|the\b|that\b|this\b|out\b|again\b|with\b|lora\b|dora\b|qlora\b|to\b|a\b|some\b|job)(.{6,})$",
    )
    for pattern in patterns:
        match = re.search(pattern, raw)
        prompt = _unquoted(match[1]) if match else ""
        if prompt and prompt.lower().rstrip(".?! ") not in _NO_PROMPT:
            return prompt
    return None


def _unquoted(text: str) -> str:
    stripped = text.strip()
    if len(stripped) > 1 and stripped[0] in "\"'“«`" and stripped[-1] in "\"'”»`":
        return stripped[1:-1].strip()
    return stripped


def only_offered(args: Args, offered: frozenset[str]) -> Args:
    """Return the arguments that a tool takes and that have a value."""
    return {name: value for name, value in args.items() if name in offered and value is not None}
