"""From plain words to wishes: which things a person wants, in which order."""

# Patterns are easier to check in one line than wrapped.
# ruff: noqa: E501

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace

from assistant.brains.guided.cues import ENOUGH, load_cues
from assistant.brains.guided.likely import likely_intent
from assistant.brains.guided.wording import Utterance

ACTIONS = (
    "inspect|look|check|examine|analyse|preview|show|describe|prepare|clean|dedupe|split|tidy|drop|remove|delete|"
    "recommend|suggest|estimate|tell|explain|train|finetune|tune|teach|start|run|launch|stop|cancel|resume|continue|"
    "evaluate|eval|test|measure|judge|export|convert|quantize|merge|try|ask|forget|erase|list|give|make|build|hold|"
    "compare|report|write|begin|kickoff|deploy|see|do|use|get"
)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+")
_NEXT = re.compile(
    r",? (?:and )?if (?:it's|that's|it is|that is|all is|everything is|it looks|all looks|they are) (?:fine|ok|okay|good|clean|alright|well)[ ,]*(?:then )?"
    rf"|,? (?:and )?(?:then|afterwards?|after that|next|finally|once done|when done)[ ,]+"
    rf"|,? and (?:also |please |just |maybe |to |then )*(?=(?:{ACTIONS})\b)"
    rf"|,\s*(?:please |also )?(?=(?:{ACTIONS})\b)"
)
_NEGATED = re.compile(
    r"(?:\bdon't|\bnot|\bnever|\bnobody|\bno one|\bno need to|\bwithout|\bno|\brather than|\binstead of|\bbefore (?:you|we|i|the|any|i do)?|"
    r"\bhate to|\brather not|\bafraid to|\bsorry to|\bwouldn't|\bstop|\bneither|\bnor|\bdidn't|\bdoesn't|\bwon't|\bisn't|\baren't|\bavoid|\bhaven't|\bnothing to|\bshouldn't|\bnot yet)"
    r"(?: want| wish| intend| like| plan| need| ask(?:ed)?| going| ready| me| you| it| us| to| any| a| the| just| yet|"
    r" really| actually| have| start(?:ing)?| do(?:ing)?| run(?:ning)?| for| be| begin(?:ning)?| want(?:ed)?| sure| begin)*\s*$"
)
_LATER = re.compile(r"^(?:\W*)(?:yet|for now|at the moment|right now yet|so far|just yet)\b")
_QUESTION_START = re.compile(
    r"^(?:(?:and|so|but|ok|okay|well|hm+|hmm|wait|oh|ah|hey|hi|hello|please|sorry|yes|no|luthier|btw|also|then|just|tell me|"
    r"i wonder|i was wondering|wondering|do you know|any idea|remind me|meanwhile|by the way|quick question|question|"
    r"on earth|before (?:we|i) (?:begin|start|train|decide|go on)|first)[,: ]+)*"
    r"(?:what|what's|which|how|how's|why|when|where|who|is|are|does|did|was|were|should|has|have|whether|if|am|will|would(?! (?:prefer|like|love|rather|appreciate|be (?:great|nice|lovely))\b)|"
    r"any|do (?:i|we|they|you (?:think|know))|may i ask|might|could it|can it|can lora|can (?:an? |the |my |this )?(?:\d|card|gpu|laptop|machine|computer|pc)|shall i)\b"
)
_REQUEST = re.compile(
    r"\b(?:can|could|would|will|won't|can't) (?:you|we|u)\b|\bwould you mind\b|\bdo you mind\b|\bmay i (?:ask|have|get|see)\b"
    r"|\bcan i (?:have|get|see)\b|\bcould i (?:have|get|see)\b|\bwhy (?:don't|not) (?:you|we|just|let's)?\b|\bshall we\b|\bhow about (?:we|you|training|a)\b"
    r"|\bwould be (?:great|nice|lovely|cool|good|grateful|happy|glad)\b|\bi'd (?:be grateful|appreciate|love|like)\b|\bis it possible (?:to|that you)\b"
)
_FIELD = re.compile(
    r"\b(?:rank|alpha|dropout|epochs?|learning rate|batch(?: size)?|weight decay|warm ?up|scheduler|adapters?|lora|qlora|dora|"
    r"peft|overfit\w*|underfit\w*|quantiz\w*|onnx|gguf|perplexity|f1|gradient|tokens?|tokenizer|zero\d?|deepspeed|fsdp|ddp|early stopping|"
    r"validation|loss|baseline|hyperparameters?|chat template|template|prompt tuning|ia3|adalora|checkpoints?|accumulation|parity|"
    r"int4|fp16|bf16|vram|finetuning|fine tuning|pre ?training|transformers?|kaito|olive|ray|azure|dpo|sft|rlhf|bleu|rouge|"
    r"confidence interval|accuracy|precision|recall|distillation|pruning|catastrophic forgetting|packing|masks?|masking)\b"
)
_EVERYDAY = re.compile(
    r"\b(?:weather|time|date|news|joke|poem|song|capital|president|score|match|pizza|life|love|politics|"
    r"rain|temperature|stock|price of|recipe|movie|song|name|age|birthday|meaning of life|plus|times)\b"
)
_PUZZLED = re.compile(
    r"\?|\b(?:lost me|lost|confus\w*|understand|no idea|mean\w*|heard|read about|read the word|tell|puzzl\w*|curious|unclear|"
    r"never got|(?:don't|didn't|not) (?:really |quite )?get|mentioned|clue|wonder\w*|explain\w*|talk\w* about|went on about|keeps? saying)\b"
)
_NAMES_A_FIGURE = re.compile(
    r"\b(?:how about|what about|what if|can you|could you|instead|use|take|make)\b"
)
_END_OF_NEGATION = re.compile(r"[,;]| but | just | only |: | - ")
_POLITE = re.compile(
    r"\b(?:i'd|i would|we'd|we would|it would) (?:really |very much )?(?:appreciate|be|love|like)\b.{0,24}\bif you\b"
)
_HYPOTHETICAL = re.compile(
    r"\b(?:way|method|approach|technique|how|setup|settings) to (?:best |properly |better )?(?:train|tune|finetune|teach)\b|\b(?:can|could|may|might) i (?!have|get|see)|\bnext (?:week|month|year)\b|\b(?:maybe|perhaps) (?:we|i|later|some|one)\b|\b(?:he|she|they|someone|somebody|colleague|friend|intern|we|i|i've|we've|team|boss) (?:have |has |had |already |once |just |even |also |recently )*(?:trained|tuned|finetuned)\b|\b(?:i'd|i would|we'd|we would) (?:only |rather |gladly )?(?:train|tune|finetune)\b.{0,60}\bif\b|\bif (?:i|we) had\b|\bor not\b|\bin theory\b|\btheoretically\b|\bhypothetical\w*|\bat some point\b|\b(?:some|one) day\b|\b(?:am|i'm|we're|are|been|was) (?:just |still |only )?(?:thinking|considering|pondering|wondering|toying)\b|\bbe (?:used|useful|usable|enough) (?:for|to|as|in)\b|"
    r"\b(?:worried|afraid|fear|concerned|unsure|not sure|doubt|curious)\b|\bshould (?:i|we|one)\b|\bwhat if\b|\bwhat (?:would|will|does|might|could) (?:happen|it|a |the |training|be)\b|\bif (?:i|we|you) (?:were to |would )?"
    r"(?:train|tune|finetune|start|use|take|trained|tuned|used|took)\w*\b(?!.{0,40}\bplease\b)|\bwould (?:it|that|training|tuning|finetuning|lora|qlora|dora|the|a|an|i|my)\b"
    r"|\bdo (?:i|we) (?:need|have|want) to\b|\bhow (?:do|does|would|could|can|should|is|are|long|much|many|big|expensive|slow|fast) \b"
    r"|\bis it (?:worth|better|wise|smart|a good|sensible|ok|okay|safe|necessary|enough|too)\b|\bworth (?:it|training|tuning|finetuning|to)\b|\bdoes it make sense\b"
    r"|\bi wonder\b|\bwondering (?:if|whether)\b|\bwhen (?:should|would|do)\b|\bwhy (?:should|would|do|does|did)\b|\bwhat (?:does|do|is|are|was)\b"
    r"|\bwhich (?:method|way|approach|model|one)\b|\bwould (?:\w+ ){1,6}(?:fit|take|cost|need|be|work|help)\b"
)
_ABOUT_THE_FIELD = re.compile(
    r"\b(?:mean|means|explain|difference|stand for|lora|qlora|dora|rank|alpha|dropout|epochs?|learning rate|"
    r"overfit\w*|quantiz\w*|onnx|perplexity|f1|gradient|adapter|tokens?|zero\d?|deepspeed|peft)\b"
)
_COSTS = re.compile(
    r"\b(?:hours?|minutes?|days?|time|cost\w*|expensive|memory|vram|ram|over ?night|quick\w*|fast|slow\w*|melt|explode|"
    r"cope|handle|survive|manage|struggle|die|coffee|lunch|dinner|tomorrow|tonight|nights?|day|weekend|today|long|longer|forever|ages|"
    r"\d+ ?(?:gb|gigs?)|swap|fans?|burn|heat|battery)\b"
)
_WAY = re.compile(r"\b(?:way|method|approach|technique|strategy|recipe|settings?|setup|advice)\b")
_MEASURE = re.compile(r"\b(?:how (?:much|long|many|soon)|memory|time|fit|estimate\w*)\b")
_TOLD_OF = re.compile(
    r"\bwhat(?:'s| is| are| was| were| does| do| did)(?: actually| exactly| even)? (?:it|that|this|these|those|they)\b"
    r"|\b(?:don't|didn't|couldn't|did not) (?:really |quite |fully )?(?:get|follow|understand) (?:it|that|this|a word|any of it)?"
    r"|\bis (?:that|this|it) (?:so|true|right|correct)\b|\bwhat (?:he|she|they) meant?\b|\bmeaning\?|\bany idea what\b|\bnever heard\b|\bno (?:clue|idea) (?:what|about)\b"
)
_WEAK_PREPARE = 2.4
_DEFERRED = frozenset({"evaluate", "export", "try", "show", "report", "compare"})
_ACTS = frozenset({"start", "prepare", "forget", "cancel", "resume", "export"})


@dataclass(frozen=True)
class Wish:
    """One thing a person wants.

    Attributes:
        score: Strength of the evidence.
        clause: The words it was found in.
        question: It was put as a question, not as a request.
    """

    intent: str
    score: float
    clause: str
    question: bool = False


@dataclass(frozen=True)
class Understanding:
    """What a message says.

    Attributes:
        wishes: In the order in which they are to be met.
        banned: Intents the person does not want now.
        fragments: Clauses without a wish of their own.
    """

    wishes: tuple[Wish, ...]
    banned: frozenset[str]
    fragments: tuple[str, ...]

    @property
    def first(self) -> str | None:
        """Intent of the first wish."""
        return self.wishes[0].intent if self.wishes else None


def understand(said: Utterance) -> Understanding:
    """Return the wishes in a message."""
    if wish := _leading(said.plain):
        return Understanding((wish,), frozenset(), ())
    wishes: list[Wish] = []
    banned: set[str] = set()
    fragments: list[str] = []
    for clause in clauses(said.plain):
        wish, refused = read_clause(clause)
        banned |= refused
        if wish is None:
            fragments.append(clause)
        else:
            wishes.append(wish)
    only_trains = {wish.intent for wish in wishes} <= {"start", "inspect"}
    if only_trains and _asks_what_was_heard_of(said.plain):
        wishes = [Wish("explain", ENOUGH, said.plain, True)]
    return Understanding(tuple(_ordered(wishes, banned)), frozenset(banned), tuple(fragments))


def _asks_what_was_heard_of(plain: str) -> bool:
    """`A colleague told me about DoRA. What is that?`"""
    term = _FIELD.search(plain) or re.search(r"\bquote\d", plain)
    named = re.search(r"\b(?:file|job)\d+\b", plain)
    return bool(term and not named and _TOLD_OF.search(plain))


def second_opinion(said: Utterance) -> Wish | None:
    """Return what a message resembles that says nothing clearly; never an act with consequences."""
    for sentence in _SENTENCE.split(said.plain):
        intent = likely_intent(sentence)
        if intent and intent not in _ACTS:
            return Wish(intent, ENOUGH, sentence, is_question(sentence))
    puzzled = _FIELD.search(said.plain) and _PUZZLED.search(said.plain)
    if puzzled and not re.search(r"\d", said.plain):
        return Wish("explain", ENOUGH, said.plain, True)
    asked = re.search(
        r"\b(?:what's|what is|what are|what does|explain) (?!it\b|this\b|that\b|your|my)",
        said.plain,
    )
    if asked and not _EVERYDAY.search(said.plain):
        return Wish("explain", ENOUGH, said.plain, True)
    return None


def _leading(plain: str) -> Wish | None:
    """`try: …` takes all that follows as the prompt, whatever it says."""
    head = plain.split(":", 1)[0]
    about_data = re.search(
        r"\b(?:data|sample|samples|file\d*|train(?:ing)?|tun(?:e|ing)|finetun(?:e|ing))\b", head
    )
    scores = _scores(head + ":") if ":" in plain and not about_data else {}
    if scores and max(scores, key=lambda k: scores[k]) == "try" and scores["try"] >= 2.2:
        return Wish("try", scores["try"], plain)
    return None


def clauses(plain: str) -> list[str]:
    """Split a message where one wish ends and the next may begin."""
    found: list[str] = []
    for sentence in _SENTENCE.split(plain):
        if not sentence.strip():
            continue
        parts = [p.strip(" ,;") for p in _NEXT.split(sentence)]
        found += [part for part in parts if part]
    return found


def read_clause(clause: str) -> tuple[Wish | None, set[str]]:
    """Return the strongest wish of a clause, and the intents it rules out."""
    kept, refused = _negations(clause)
    scores = _scores(kept)
    question = is_question(kept)
    if (question or _HYPOTHETICAL.search(kept)) and not _POLITE.search(kept):
        _weaken_acts(scores, kept)
    _settle(scores, kept)
    scores.setdefault("explain", 0.0)
    intent = max(scores, key=lambda name: scores[name])
    if (
        scores[intent] < ENOUGH
        and question
        and _FIELD.search(kept)
        and not _NAMES_A_FIGURE.search(kept)
    ):
        return Wish("explain", ENOUGH, kept, True), refused
    if scores[intent] < ENOUGH:
        return None, refused
    return Wish(intent, scores[intent], kept, question), refused - {intent}


def is_question(clause: str) -> bool:
    """Return whether a clause asks rather than requests."""
    if _REQUEST.search(clause) and not re.search(r"\b(?:should|what|which|how)\b.*\?$", clause):
        return False
    return bool(_QUESTION_START.search(clause))


def _scores(clause: str) -> dict[str, float]:
    scores: dict[str, float] = defaultdict(float)
    for intent, weight, pattern in load_cues():
        if pattern.search(clause):
            scores[intent] = (
                max(scores[intent] + 0.3 * weight, weight) if intent in scores else weight
            )
    return dict(scores)


def _negations(clause: str) -> tuple[str, set[str]]:
    """Cut out what is negated: `don't train yet, just look` is a wish to look, and none to train."""
    refused: set[str] = set()
    kept = clause
    for intent, _, pattern in load_cues():
        if intent not in _ACTS | {"inspect", "evaluate", "try"}:
            continue
        match = pattern.search(kept)
        while match:
            if not _NEGATED.search(kept[: match.start()].rstrip() + " ") and not _negated_inside(
                match[0]
            ):
                break
            refused.add(intent)
            tail = _END_OF_NEGATION.split(kept[match.start() :], maxsplit=1)
            rest = tail[1] if len(tail) > 1 else ""
            head = _NEGATED.sub(" ", kept[: match.start()].rstrip() + " ")
            kept = f"{head.strip()} {rest.strip()}".strip()
            match = pattern.search(kept)
    return kept, refused


def _negated_inside(text: str) -> bool:
    return bool(
        re.search(
            r"(?:\bdon't|\bnot|\bno|\bwithout|\bnever) (?:\w+ ){0,3}(?:train|finetun|tun|start|run|delete|forget|export|stop|cancel)\w*",
            text,
        )
        and not re.match(r"(?:no|not),", text)
    )


def _weaken_acts(scores: dict[str, float], clause: str) -> None:
    """A question about doing something is not a wish to do it."""
    if _REQUEST.search(clause) and not _HYPOTHETICAL.search(clause):
        return
    asks_start = scores.pop("start", 0.0)
    if asks_start and scores.get("recommend", 0.0) < ENOUGH and _COSTS.search(clause):
        scores["estimate"] = max(scores.get("estimate", 0.0), 2.6)
    for intent in ("forget", "cancel", "resume", "prepare", "export"):
        if intent in scores and not (intent == "export" and _REQUEST.search(clause)):
            scores[intent] *= 0.5
    others = {k: v for k, v in scores.items() if k not in _ACTS and v >= ENOUGH}
    if asks_start and not others:
        scores["recommend"] = max(scores.get("recommend", 0.0), 2.1)


def _settle(scores: dict[str, float], clause: str) -> None:
    """Weigh intents against each other where their words overlap."""
    has_job = bool(re.search(r"\bjob\d+\b", clause))
    has_file = bool(re.search(r"\bfile\d+\b", clause))
    if (has_job or has_file) and "explain" in scores and not _ABOUT_THE_FIELD.search(clause):
        scores["explain"] -= 2
    if has_job and not has_file and "inspect" in scores:
        scores["show"] = max(scores.get("show", 0), scores.pop("inspect"))
    about_a_run = re.search(
        r"\b(?:runs?|training|tuning|job|model|finished|done|progress)\b", clause
    )
    if has_file and not has_job and "show" in scores and not about_a_run:
        scores["inspect"] = max(scores.get("inspect", 0), scores.pop("show"))
    on_a_file = re.search(
        r"\b(?:on|with|against|over|using|for) (?:the |my )?(?:\w+ )?file\d", clause
    )
    trains = re.search(r"\b(?:re)?(?:train|tun|start)\w*\b", clause)
    taken = {"evaluate", "export", "try", "forget"} & scores.keys()
    if has_job and on_a_file and not trains and not taken:
        scores["evaluate"] = 3.4
    if "recommend" in scores and "evaluate" in scores and has_file and not has_job:
        scores["recommend"] += 1
    if "start" in scores and "try" in scores and (has_file or "sample" in clause):
        scores.pop("try")
    if "estimate" in scores and ("explain" in scores or "recommend" in scores):
        advice = "recommend" in scores and _WAY.search(clause) and not _MEASURE.search(clause)
        scores["recommend" if advice else "estimate"] += 1
    several = len(set(re.findall(r"\b(?:lora|qlora|dora|full)\b", clause))) > 1
    if several and scores.get("explain", 0) + scores.get("recommend", 0) > 0:
        scores["recommend" if has_file else "explain"] = 4.0
    if {"explain", "evaluate"} <= scores.keys() and re.search(
        r"\b(?:the (?:\w+ )?model|my|it|run|the (?:f1|accuracy|score|perplexity|verdict))\b", clause
    ):
        scores["evaluate"] += 1
    if "recommend" in scores and "explain" in scores:
        about_data = has_file or re.search(
            r"\b(?:my|our|this|i have|we have|gb|for (?:it|that|this))\b", clause
        )
        explicit = scores["recommend"] >= scores["explain"] + 0.5
        about_data = about_data or (
            None if _FIELD.search(clause) else re.search(r"\b(?:i|we)\b", clause)
        )
        scores["recommend" if about_data or explicit else "explain"] += 1
    if {"explain", "evaluate"} <= scores.keys() and not re.search(
        r"\b(?:job\d|my|model|it|run|the (?:last|new)|tuning|this)\b", clause
    ):
        scores["evaluate"] -= 1
    if (
        "hardware" in scores
        and "estimate" in scores
        and re.search(r"\b(?:have|free|this (?:machine|computer|pc|laptop|box))\b", clause)
    ) and not re.search(r"\b(?:need|train|tun|fit|run|take)\w*\b", clause):
        scores.pop("estimate")
    if "evaluate" in scores and re.search(r"\babout (?:the )?(?:perplexity|f1|accuracy)\b", clause):
        scores.pop("evaluate")
    if "diagnose" in scores and "show" in scores:
        scores["diagnose"] += 1
    if "evaluate" in scores and "show" in scores:
        scores["evaluate"] += 0.5
    if {"export", "start"} <= scores.keys() and re.search(r"\bexport\b", clause):
        scores.pop("start")
    if (
        {"export", "start"} <= scores.keys()
        and not has_file
        and re.search(r"\b(?:onnx|gguf|int4|fp16|fp32|merged|adapter)\b", clause)
        and not re.search(r"\b(?:train|tune|finetune|teach)\b", clause)
    ):
        scores.pop("start")
    if "models" in scores and "jobs" in scores and re.search(r"\b(?:my|i|trained)\b", clause):
        scores["jobs"] += 1
    if (
        "start" in scores
        and re.search(
            r"\b(?:the|my|our|this|that|last) (?:\w+ )?(?:trained|tuned|finetuned) model\b", clause
        )
        and scores["start"] < 3
    ):
        scores["start"] -= 1
    if "prepare" in scores and "start" in scores and scores["prepare"] < _WEAK_PREPARE:
        scores.pop("prepare")
    if (
        "prepare" in scores
        and scores["prepare"] >= 2.5
        and "start" in scores
        and not re.search(
            r"\b(?:train|finetune|tune|teach) (?:a|it|the|on|with|me|this|that)\b", clause
        )
    ):
        scores.pop("start")
    if "jobs" in scores and "inspect" in scores and not has_file:
        scores["jobs"] += 1
    if "identity" in scores and "models" in scores:
        scores.pop("models")


def _ordered(wishes: list[Wish], banned: set[str]) -> list[Wish]:
    """Merge repeated wishes, and let details of one wish not become another."""
    kept: list[Wish] = []
    intents = {wish.intent for wish in wishes}
    for wish in wishes:
        if (
            wish.intent in banned
            and wish.intent in _ACTS
            and not any(w.intent == wish.intent and w.score > wish.score for w in wishes)
            and wish.question
        ):
            continue
        if wish.intent == "prepare" and wish.score < _WEAK_PREPARE and "start" in intents:
            continue
        small_talk = {"greet", "thanks", "bye", "help"}
        if wish.intent in small_talk and intents - small_talk:
            continue
        same = next((i for i, w in enumerate(kept) if w.intent == wish.intent), None)
        if same is not None and wish.intent not in {"explain", "try"}:
            joined = f"{kept[same].clause} ; {wish.clause}"
            kept[same] = replace(kept[same], clause=joined, score=max(kept[same].score, wish.score))
            continue
        kept.append(wish)
    return kept


def names_a_term(*texts: str) -> bool:
    """Return whether a term of the field is named."""
    return any(_FIELD.search(text) for text in texts)


def is_deferred(intent: str) -> bool:
    """Return whether a wish needs a finished run, so that it waits when a training is planned."""
    return intent in _DEFERRED
