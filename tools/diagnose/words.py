"""What a person says they saw, when there is little else: symptoms in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tools.diagnose.evidence import Run
from tools.diagnose.report import Code
from tools.diagnose.suspicion import Suspicion, suspect
from tools.diagnose.wordings import GPU_GONE, RAM_GONE, SIGNS

_SAID = 0.55
"""A description names a symptom, not a measurement: enough to name a cause, not to be sure."""


@dataclass(frozen=True)
class Complaint:
    """A way of complaining, the causes it may mean (likeliest first), and what would tell more."""

    pattern: re.Pattern[str]
    codes: tuple[Code, ...]
    text: str
    ask: str


def _complaint(pattern: str, codes: tuple[Code, ...], text: str, ask: str) -> Complaint:
    return Complaint(re.compile(pattern, re.IGNORECASE), codes, text, ask)


_EVENTS = "The events or the log of the run (`--events`, `--log`), or its job id."
_SETTINGS = "Its settings: learning rate, batch, epochs, rows (`--spec`)."
_VAL = (
    r"(?:\b(?:val(?:idation)?|eval(?:uation)?|held[- ]out)[ _-]?(?:set )?"
    r"(?:loss|error|perplexity)?|"
    r"\b(?:test|dev)[ _-]?(?:set )?(?:loss|error|perplexity))"
)
_UP = (
    r"(?:(?:go(?:es|ing)?|went) (?:\w+ )?(?:up|higher)|rise?s?|rising|climb\w*|increas\w*|"
    r"grow\w*|shoot\w*|gets? worse|up\b)"
)
COMPLAINTS: tuple[Complaint, ...] = (
    _complaint(rf"overfit|{_VAL}[^.;]{{0,40}}{_UP}|{_UP}[^.;]{{0,20}}{_VAL}|"
               r"(?:good|great|perfect|fine|well|low)[^.;]{0,30}train\w*[^.;]{0,40}(?:bad|poor|high|"
               r"worse|terribl[ey]|awful|horrible|fails?)[^.;]{0,30}(?:val|test|new|unseen|real)|"
               r"train\w*[^.;]{0,24}(?:good|great|perfect|fine|well|low|tiny|small|excellent)"
               r"[^.;]{0,40}(?:bad|poor|worse|terribl[ey]|awful|fails?|wrong|useless)[^.;]{0,30}"
               r"(?:val|test|new|unseen|real|other)|"
               r"\bby heart\b|memori[sz]\w*|parrot\w*|regurgitat\w*",
               ("overfitting", "eval_shift"),
               "The validation loss is said to rise while training goes on.",
               "The training and validation losses by step (`--events` or the job's id)."),
    _complaint(r"loss (?:is |became |turns? (?:in)?to |goes (?:to )?|= ?)?(?:nan|inf\w*|not a "
               r"number)|"
               r"\bnan\b", ("nan_loss", "lr_too_high"), "The loss is said to be not a number.",
               _SETTINGS),
    _complaint(r"loss[^.;]{0,25}(?:explod\w*|diverg\w*|blows? up|through the roof|skyrocket\w*)|"
               r"(?:explod|diverg)\w*", ("divergence", "lr_too_high"),
               "The loss is said to explode.", _SETTINGS),
    _complaint(r"loss[^.;]{0,25}(?:jump\w*|oscillat\w*|swing\w*|spik\w*|bounc\w*|zig-?zag\w*|"
               r"\bsaw|jagged|wild\w*|all over)",
               ("lr_too_high", "tiny_batch"), "The loss is said to swing.", _SETTINGS),
    _complaint(r"loss[^.;]{0,30}(?:exactly|always|stays?|sits|stuck|remains?|shows|is|=|at) "
               r"(?:at |exactly |always )?(?:0(?:\.0+)?|zero)(?![.\d])\b",
               ("zero_loss", "empty_mask"), "The loss is said to be zero.", _EVENTS),
    _complaint(r"loss[^.;]{0,40}(?:barely|hardly|does ?n[o']t (?:go down|fall|move|decrease|"
               r"change)|"
               r"(?:not|never|won'?t)[^.;]{0,12}(?:fall|decreas|go(?:ing)? down|mov|chang)|"
               r"(?:stuck|flat|constant|plateau)(?![^.;]{0,12}\b(?:0(?:\.0+)?|zero)\b))|"
               r"(?:does ?n[o']t|not|never|did ?n[o']t)[^.;]{0,10}learn|learn(?:s|ed|t) nothing|"
               r"no better than (?:before|chance|random|guess\w*|the base)|at chance\b",
               ("lr_too_low", "underfitting", "constant_loss"),
               "The loss is said hardly to move.", _SETTINGS),
    _complaint(r"(?:repeat\w*|loop\w*)[^.;]{0,30}(?:itself|for ?ever|endless|over and over|same)|"
               r"never (?:\w+ ){0,3}?(?:stops?|ends?|an end)\b|"
               r"does ?n[o']t (?:stop|end|know when to stop)|"
               r"(?:won'?t|not) stop|goes on (?:and on|for ?ever)|"
               r"(?:rambl|endless)\w*|keeps? (?:on )?(?:talking|generating|repeating|"
               r"writing|answering)|"
               r"without stopping",
               ("untrained_stop", "pad_eos_confusion", "template_mismatch"),
               "Answers are said not to end.",
               "One answer of the tuned model, and whether the end token is the padding token."),
    _complaint(r"(?:always|only|just|every\w*|all)[^.;]{0,48}(?:same|one|a single) "
               r"(?:label|class|answer|category)|"
               r"(?:same|one) (?:label|class|answer|category) (?:for (?:all|every)|every)|"
               r"(?:says?|answers?|predicts?|labels?|calls?|returns?|gives?|outputs?)\b[^.;]{1,40}"
               r"\b(?:for|to|on) (?:everything|anything|all (?:of them|rows|texts|inputs)|"
               r"every \w+)|"
               r"(?:says?|predicts?|labels?|calls?) (?:everything|all of them)(?: as)?\b|"
               r"predict\w* (?:only|nothing but)|"
               r"(?:whatever|no matter what|regardless of what) (?:i|you|we|one|they|people)\b"
               r"[^.;]{0,30}(?:repl|sa[iy]|answer|predict|get|return|give|label|output)\w*",
               ("class_collapse", "lr_too_high"), "One answer is said to be given to all.",
               "How often each label stands in the data (`luthier inspect`)."),
    _complaint(r"(?<!\bi )\bforg[eo]t(?:s|ten)?\b(?! to)|\bforgetting\b|"
               r"\blost (?:all )?(?:its|the) (?:general|abilit|knowledge|skill|english|german|"
               r"french|"
               r"languages?|common sense|manners)|catastroph|unlearn\w*|"
               r"(?:can(?:not|'?t)? no longer|can no longer|no longer (?:able|knows?|can|speaks?))|"
               r"(?:worse|dumber|bad)[^.;]{0,30}(?:general|everything else|other (?:task|thing)s?)",
               ("forgetting",), "General abilities are said to be lost.", _EVENTS),
    _complaint(r"too good|(?:100 ?%|perfect|1\.0)[^.;]{0,25}(?:accura|score|val|test|eval)|"
               r"(?:accura\w*|scores?|f1|results?)[^.;]{0,20}(?:100 ?%|perfect|\b1\.0)|"
               r"(?<!memory )leak(?!y)",
               ("leakage",), "The result is said to be too good to be true.",
               "The data files of training and evaluation (`luthier inspect`)."),
    _complaint(r"memory[^.;]{0,30}(?:grow\w*|leak\w*|climb\w*|creep\w*|increas\w*|goes up)",
               ("memory_growth",), "Memory is said to grow.", _EVENTS),
    _complaint(r"fragment(?:ed|ation)", ("fragmentation",), "Memory is said to be fragmented.",
               "The whole message that names the memory."),
    _complaint(r"(?:merg\w*)[^.;]{0,50}(?:worse|differ\w*|lost|bad|wrong|nonsense|garbage|rubbish)",
               ("merge_loss", "adapter_not_applied"), "The merged model is said to be worse.",
               "How it was merged: into which base, in how many bits."),
    _complaint(r"(?:quanti[sz]\w*|int4|4-?bit|gguf|onnx)[^.;]{0,50}(?:worse|differ\w*|lost|bad|"
               r"wrong|nonsense|garbage|rubbish|gibberish|useless|broken)",
               ("quantisation_loss", "merge_loss"),
               "The quantised model is said to be worse.", "The parity figures of the export."),
    _complaint(r"(?:same|identical)[^.;]{0,30}\b(?:as|like|to) (?:before|the (?:base|original|"
               r"untuned))|(?:tuned|adapter|lora|model)[^.;]{0,40}(?:"
               r"same(?! (?:base|file|data|settings|run|seed|rank))|identical|"
               r"no (?:difference|effect|"
               r"change)|like the base|exactly what the base)",
               ("adapter_not_applied", "lr_too_low"),
               "The tuned model is said to answer like its base.", _EVENTS),
    _complaint(r"(?:gpu|graphics card|cuda device)s?\b[^.;]{0,40}(?:idle|idling|low util|starv\w*|"
               r"bored|unused|under-?used|not (?:fully |really )?(?:used|busy)|"
               r"do(?:es|ing) nothing|sleeps?|"
               r"(?:hardly|barely|half) (?:used|busy)|"
               r"\b[0-6]?\d ?(?:%|percent))|wait\w*[^.;]{0,20}data|data ?load",
               ("loader_bound", "tiny_batch"), "The GPU is said to wait.", _EVENTS),
    _complaint(r"tokeni[sz](?:ing|ation)[^.;]{0,40}(?:slow|takes|long|ages|hours)",
               ("tokenizer_bound",), "Tokenising is said to take long.", _EVENTS),
    _complaint(r"eval\w*[^.;]{0,30}(?:takes (?:longer|for ?ever|most|ages|hours)|too (?:long|"
               r"slow))",
               ("eval_dominates",), "Evaluating is said to take long.", _EVENTS),
    _complaint(r"(?:no|without|denied) (?:access|permission) (?:to|for)\b|access (?:is |was )?"
               r"(?:denied|refused|restricted)|not (?:allowed|authori[sz]ed) to (?:download|load|"
               r"access|use)|wants? (?:me|us) to (?:accept|agree)", ("gated_model",),
               "Access to the model is said to be refused.",
               "The message itself (`--log`), and the name of the model."),
    _complaint(r"(?:los(?:e|es|ing)|miss\w*|without) (?:their|its|the) "
               r"(?:ends?|endings?|last|tail)|"
               r"cut off|truncat\w*|(?:answers?|rows?)[^.;]{0,20}cut\b", ("truncation",),
               "Text is said to be cut.", "The maximum length, and the lengths of the rows."),
    _complaint(r"(?:wrong|different|other) (?:chat )?template|template (?:mismatch|differs)|"
               r"<\|\w+\|>", ("template_mismatch",), "The template is said to differ.",
               "The template at training and at asking."),
    _complaint(r"(?:says?|gets?|got|was|is|been|just|process)[^.;]{0,12}\bkilled\b|"
               r"\bexit code (?:137|-9)|colab[^.;]{0,30}(?:crash|restart)",
               ("oom_ram",), "The process is said to have been killed.",
               "The last lines of the log (`--log`), and how much memory the machine has."),
    _complaint(r"(?:empty|blank) (?:answers?|strings?|outputs?|replies|responses?|text)|"
               r"(?:answers?|says?|returns?|outputs?|generates?|replies) (?:with )?nothing",
               ("template_mismatch", "pad_eos_confusion"), "Answers are said to be empty.",
               "The template at training and at asking, and one row as it is trained "
               "(`luthier inspect FILE --lens`)."),
    _complaint(r"gibberish|nonsense|rubbish|garbage|word salad|makes? no sense",
               ("template_mismatch", "lr_too_high"), "Answers are said to make no sense.",
               "One question and its answer, and the template at training and at asking."),
    _complaint(r"(?:out of|run out of|ran out of|no) (?:the |my |all )?(?:gpu |cuda )?"
               r"(?:memory|vram)|\boom\b|"
               r"(?:memory|vram) (?:is |was )?(?:full|exhausted|overflow\w*)",
               ("oom_gpu", "oom_ram"), "Memory is said to run out.",
               "The log with the error (`--log`), and which machine it was."),
    _complaint(r"disk (?:is )?full|no space", ("disk_full",), "The disk is said to be full.",
               "The end of the log."),
)  # fmt: skip
_SLOW = re.compile(
    r"\bslow\w*|tak(?:es?|ing) (?:for ?ever|ages|too long|so long|hours|days|weeks)|"
    r"speed (?:it )?up|faster|throughput|crawl\w*|sluggish|at a snail|"
    r"\b(?:it/s|s/it)\b|\b(?:it\w*|steps?|tokens|rows) (?:per|an?|each) (?:minute|hour|second)",
    re.IGNORECASE,
)
_POOR = re.compile(
    r"(?:poor|bad|weak|low|disappointing|terrible|awful|useless|mediocre)\b[^.;]{0,24}"
    r"(?:results?|quality|accuracy|scores?|metrics?|f1|answers?|performance|model)|"
    r"(?:results?|quality|accuracy|scores?|metrics?|f1|answers?|performance|model)\b[^.;]{0,24}"
    r"(?:poor|bad|weak|low|disappointing|terrible|awful|useless|mediocre)",
    re.IGNORECASE,
)
_POOR_ASKS = (
    "The run or its events (`luthier diagnose JOB`): was it still learning, or learning by heart?",
    "The data (`luthier inspect FILE`): its problems, its labels, and what is trained of a row.",
)
_SLOW_CURES = (
    "Loader workers: two to four processes make batches, so that the device does not wait.",
    "Mixed precision: bfloat16 on a card that has it computes about twice as fast as float32.",
    "Efficient batching: rows of like length together or packed, so that little is padding, and a "
    "larger batch where memory allows.",
    "More devices: the same steps, shared out.",
    "A fused optimiser: fewer small operations a step.",
    "A cosine schedule: often the same loss in fewer steps.",
)
_POOR_CURES = (
    "Data quality and format: wrong or contradicting answers, mixed formats, the wrong columns; no "
    "setting makes up for them.",
    "Learning rate and duration: still falling at the end means more, turning upwards means less.",
    "Base model: one nearer to the domain, or larger.",
    "Preprocessing and tokenisation: rows cut off, another template, an end that is not trained.",
    "More, and more diverse, data; augmentation where there is little.",
)
"""What the mission's table of troubles names for them, in its order."""
_SLOW_ASKS = (
    "The events of the run or its job id: they say where the time goes (waiting for data, padding, "
    "evaluation).",
    "Which device it runs on, and its precision and batch size.",
)


def complaints(run: Run) -> Iterator[Suspicion]:
    """Causes that the person's own words mean; none where there are none."""
    if not run.question.strip():
        return
    told: set[Code] = set()
    for complaint in COMPLAINTS:
        found = complaint.pattern.search(run.question)
        if not found or told & set(complaint.codes[:1]):
            continue
        for place, code in enumerate(complaint.codes):
            if code not in told:
                told.add(code)
                yield suspect(code, _SAID - 0.08 * place, complaint.text, quote=found.group())


def asks_for(run: Run) -> tuple[str, ...]:
    """Return what would help to tell, from what was complained of and what is missing."""
    asks: list[str] = []
    for complaint in COMPLAINTS:
        if complaint.pattern.search(run.question) and complaint.ask not in asks:
            asks.append(complaint.ask)
    if complains_of_speed(run):
        asks.extend(_SLOW_ASKS)
    if not asks and _POOR.search(run.question):
        asks.extend(_POOR_ASKS)
    if not asks:
        if not run.steps:
            asks.append(_EVENTS)
        if not run.spec:
            asks.append(_SETTINGS)
    return tuple(asks[:3])


def usual_cures(run: Run) -> tuple[str, ...]:
    """Return what usually helps, in order, where a trouble has many causes and none is seen."""
    if complains_of_speed(run):
        return _SLOW_CURES
    return _POOR_CURES if _POOR.search(run.question) else ()


def is_complaint(text: str) -> bool:
    """Whether a person's words tell of a trouble that is known here."""
    return bool(_SLOW.search(text) or _POOR.search(text)) or names_a_cause(text)


def names_a_cause(text: str) -> bool:
    """Whether a person's words, or the error that they quote, point to a cause."""
    return quotes_an_error(text) or any(c.pattern.search(text) for c in COMPLAINTS)


def quotes_an_error(text: str) -> bool:
    """Whether the wording of a library or system that names a cause stands in it."""
    known = (GPU_GONE, RAM_GONE, *(sign.pattern for sign in SIGNS))
    return any(pattern.search(text) for pattern in known)


def complains_of_speed(run: Run) -> bool:
    """Whether the person finds the run slow."""
    return bool(_SLOW.search(run.question))


RULES = (complaints,)
