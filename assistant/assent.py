"""Recognises a typed yes or no to a waiting plan. Code decides this, before any brain reads it.

A message counts as assent only when all of it is assent: every word belongs to a closed list. So
a quotation, a question, a condition ("yes, but with 2 epochs") or pasted text never counts.
"""

from __future__ import annotations

import re
from typing import Literal

Answer = Literal["yes", "no", "other"]

_LONGEST_ANSWER = 80
_NOT_PLAIN = re.compile(r"[?\"“”„«»‘`<>\[\]{}()=:;/\\#*_|0-9]|(?<!\w)'|'(?!\w)")
_WORDS = re.compile(r"[a-z]+(?:'[a-z]+)?")
_KEEP = re.compile(r"[^a-z' ]+")

_YES = (
    "yes|yess+|yep|yeah|yea|yup|ya|yah|y|ok|okay|okey|okie|k|kk|sure|aye|of course|certainly|"
    "absolutely|definitely|agreed|agree|i agree|approved|approve|i approve|approve it|confirm|"
    "confirmed|i confirm|confirm it|accept|accepted|i accept|affirmative|granted|proceed|go|"
    "go ahead|go for it|do it|do that|do so|please do|make it so|let's go|lets go|let's do it|"
    "lets do it|let's do this|lets do this|you may|you may proceed|you can proceed|i'm sure|"
    "im sure|i am sure|i do|permission granted|you have my ok|you have my approval|yes thanks|"
    "yes thank you"
)
# Praise beside a yes is fine; alone it does not say that anything shall start.
_PRAISE = (
    "sounds good|sounds great|sounds right|sounds fine|looks good|looks great|looks right|"
    "looks fine|lgtm|that works|works for me|that's fine|thats fine|that is fine|fine by me|fine|"
    "fine with me|that's ok|that is ok|that's good|all good|good to go|it's fine|it is fine|"
    "that's what i want|i want it|i want that"
)
_FILL = (
    "please|pls|plz|now|then|great|good|perfect|nice|cool|right now|right away|just|well|oh|hey|"
    "so|and|"
    "luthier|with it|with that|with this|with the plan|the plan|this plan|that plan|as is|as it is|"
    "as planned|right|alright|all right|very|immediately|already|i say|i said|exactly that|exactly"
)
_OBJECT = "(?: it| this| that| now| (?:the |this |that )?(?:{nouns}))?"
_START = (
    "(?:start|begin|launch|run|kick off|execute|fire up)"
    + _OBJECT.format(nouns="training|run|job|plan|tuning|fine-?tuning|fine tuning")
    + "|kick it off|fire it up|start training|get going|get started|let's start|lets start"
    + "|let's begin|start up|you (?:can|may) start(?: it)?"
)
_DELETE_NOUNS = "run|job|data|dataset|version|files|artefacts|artifacts"
_DELETE = (
    "(?:delete|remove|erase|wipe)"
    + _OBJECT.format(nouns=_DELETE_NOUNS)
    # "forget it" alone is an idiom for no.
    + f"|forget (?:the|this|that) (?:{_DELETE_NOUNS})"
    + "|you (?:can|may) delete(?: it)?"
)
_NETWORK = (
    "(?:download|fetch|get|load)"
    + _OBJECT.format(nouns="model|base model|files|file")
    + "|go online|use the network|connect|allow it|allow this|allowed"
)
_BY_ACTION = {"start_training": _START, "forget": _DELETE, "network": _NETWORK}

_NO = (
    "no|nope|nah|no thanks|no thank you|not now|not yet|don't|do not|dont|don't start|"
    "do not start|dont start|don't start it|do not start it|don't do it|do not do it|dont do it|"
    "no way|never mind|nevermind|forget it|leave it|rather not|i'd rather not|not today|later|"
    "maybe later|not so fast|hold on|hold off|wait|negative|n|better not|please don't|"
    "no please don't|decline|declined|i decline|reject|rejected|refuse|i refuse|not really|"
    "don't train|do not train|don't train it|don't delete|don't delete it|do not delete it"
)


def _whole(*cores: str) -> re.Pattern[str]:
    core = "|".join(cores)
    beside = f"{_FILL}|{_PRAISE}"
    return re.compile(rf"(?:(?:{beside}) )*(?:{core})(?: (?:{core}|{beside}))*")


_ASSENT = {action: _whole(_YES, words) for action, words in _BY_ACTION.items()}
_PLAIN_ASSENT = _whole(_YES)
_NAMED = {
    "start_training": re.compile(rf"(?:.* )?(?:{_START})(?: .*)?"),
    "forget": re.compile(rf"(?:.* )?(?:{_DELETE})(?: .*)?"),
    "network": re.compile(rf"(?:.* )?(?:{_NETWORK})(?: .*)?"),
}
_REFUSAL = _whole(_NO)
_THANKS = re.compile(r" (?:thanks|thank you|thx|ty|many thanks)$")
_NODS = frozenset({"ok", "okay", "okey", "k", "kk", "sure"})


def read_answer(text: str, action: str) -> Answer:
    """Return what a whole message answers to one waiting plan of this action."""
    plain = _plain(text)
    if plain is None:
        return "other"
    agrees = _ASSENT.get(action, _PLAIN_ASSENT)
    thanked = _THANKS.sub("", plain)
    # "ok thanks" acknowledges; "yes, start it, thanks" agrees.
    if agrees.fullmatch(thanked) and (thanked == plain or thanked not in _NODS):
        return "yes"
    return "no" if _REFUSAL.fullmatch(plain) else "other"


def names_action(text: str, action: str) -> bool:
    """Return whether an assent says which action it means, such as `yes, delete it`."""
    plain = _plain(text)
    pattern = _NAMED.get(action)
    return bool(plain and pattern and pattern.fullmatch(plain))


def _plain(text: str) -> str | None:
    """Return the message as lower-case words, or None where it holds more than words."""
    stripped = text.strip()
    if stripped in {"👍", "✅", "👌"}:
        return "yes"
    lowered = stripped.lower().replace("’", "'")
    if not lowered or len(lowered) > _LONGEST_ANSWER or _NOT_PLAIN.search(lowered):
        return None
    if not lowered.isascii():
        return None
    if len(lowered.splitlines()) > 1:
        return None
    return " ".join(_KEEP.sub(" ", lowered.replace("-", " ")).split()) or None
