"""Names and contents that tell what a column is for."""

from __future__ import annotations

import re

from tools.datasets.profile import Column
from tools.datasets.words import word_set

PROMPT_NAMES = ("prompt", "prompts", "user_prompt", "user", "user_message", "human", "request")
INPUT_NAMES = (
    "input", "inputs", "input_text", "text_input", "query", "source_text", "text", "utterance",
)  # fmt: skip
OUTPUT_NAMES = (
    "completion", "response", "output", "outputs", "target_text", "output_text", "reply", "bot",
    "assistant", "assistant_response", "model_response", "text_output", "target", "generation",
)  # fmt: skip
INSTRUCTION_NAMES = ("instruction", "instructions", "task_instruction")
QUESTION_NAMES = ("question", "questions", "query", "q", "problem", "ask", "title_question")
ANSWER_NAMES = (
    "answer", "answers", "a", "solution", "best_answer", "correct_answer", "accepted_answer",
    "final_answer", "long_answer", "answerkey", "answer_key", "correct_option", "correct",
    "canonical_solution", "gold_answer", "ground_truth", "reference_answer", "answer_text",
)  # fmt: skip
CONTEXT_NAMES = ("context", "passage", "paragraph", "background", "contexts", "support")
SUMMARY_NAMES = (
    "summary", "highlights", "abstract", "tldr", "tl_dr", "summaries", "headline", "title",
)  # fmt: skip
LABEL_NAMES = (
    "label", "labels", "class", "category", "intent", "sentiment", "tone", "emotion", "mood",
    "topic", "label_text", "class_name", "target", "tag", "type", "kind", "polarity", "stars",
    "rating", "score", "toxicity", "toxic", "spam", "department", "team", "queue", "priority",
    "product", "genre", "language", "subject", "gold_label", "group", "code", "answer", "output",
    "completion", "response", "y", "classification", "result", "feeling", "urgency", "is_spam",
    "label_name", "status",
)  # fmt: skip
TEXT_NAMES = (
    "text", "sentence", "content", "body", "message", "review", "review_text", "comment", "tweet",
    "description", "phrase", "utterance", "document", "article", "ticket", "email", "question",
    "query", "prompt", "input", "feedback", "post", "story", "passage", "transcript", "subject",
)  # fmt: skip

_LANGUAGES = word_set(
    """ab aa af ak sq am ar hy as ay az ba eu be bn bs bg my ca zh hr cs da nl en eo et fo fi fr fy
    gl ka de el gn gu ht ha he hi hu is ig id ia ga it ja jv kn kk km rw ky ko ku lo la lv ln lt
    lb mk mg ms ml mt mi mr mn ne no nb nn oc or om ps fa pl pt pa qu ro rn ru sm sa sc sr st sn
    sd si sk sl so es su sw ss sv tl tg ta tt te th ti to ts tn tr tk ug uk ur uz ve vi wo cy xh
    yi yo zu eng fra fre deu ger spa ita por rus zho chi jpn kor ara hin hau yor ibo zul xho swa
    swh amh som afr nld dut pol ces cze tur vie tha ind msa heb ell gre fin swe dan nor isl ice
    ukr ron rum bul kin lug luo nya sna tsn twi wol bam ewe fon mos pcm bbj tam tel ben urd fas
    per mal mar guj pan english french german spanish italian portuguese russian chinese japanese
    korean arabic hindi hausa yoruba igbo zulu xhosa swahili dutch polish czech turkish vietnamese
    thai indonesian swedish danish norwegian finnish greek hebrew ukrainian romanian hungarian
    latin persian bengali tamil telugu urdu malay tagalog catalan welsh irish"""
)
_SCRIPTS = (
    ("latin", re.compile(r"[a-z\u00c0-\u024f\u1e00-\u1eff]", re.I)),
    ("cyrillic", re.compile(r"[\u0400-\u04ff]")),
    ("greek", re.compile(r"[\u0370-\u03ff]")),
    ("arabic", re.compile(r"[\u0600-\u06ff]")),
    ("hebrew", re.compile(r"[\u0590-\u05ff]")),
    ("devanagari", re.compile(r"[\u0900-\u097f]")),
    ("han", re.compile(r"[\u3400-\u9fff]")),
    ("kana", re.compile(r"[\u3040-\u30ff]")),
    ("hangul", re.compile(r"[\uac00-\ud7af]")),
    ("thai", re.compile(r"[\u0e00-\u0e7f]")),
    ("ethiopic", re.compile(r"[\u1200-\u137f]")),
)
_COMMON_WORDS: dict[str, frozenset[str]] = {
    "en": word_set("the of and to in is that it was for you with on are this have not be"),
    "de": word_set("der die und das ist nicht ein eine zu den mit ich sie es auf für dem"),
    "fr": word_set("le la les de et est un une des que pas pour dans qui je vous il sur"),
    "es": word_set("el la los de y es un una que no por para en con se lo las del como"),
    "it": word_set("il la di e che un una non per è sono con del si le nel della gli"),
    "pt": word_set("o a de e que um uma não para com os em do da se no na por mais"),
    "nl": word_set("de het een en van is niet dat ik op te zijn met voor aan er je"),
    "pl": word_set("i w nie na się z do to że jest jak o co ale po tak za od"),
    "sv": word_set("och att det är en som på för med av inte den jag har till ett"),
    "tr": word_set("bir ve bu da de için ile ne çok var gibi daha mi ben değil"),
    "id": word_set("yang dan di itu dengan untuk tidak dari ini dalam akan pada ke"),
    "ha": word_set("da ta na ya a ba cewa su shi ne an kuma wannan ga sun wani mai"),
    "sw": word_set("ya na wa kwa ni katika za la kuwa hii watu si yake cha hiyo"),
    "yo": word_set("ti ni o àti fún tí pé sí ní wọn náà kan yìí jẹ lati"),
    "vi": word_set("và của là có không cho một được các trong người những với này"),
}


def language_of_name(name: str) -> str | None:
    """Return the language a column's name stands for, such as `en`, `text_de` or `eng_Latn`."""
    lower = name.lower()
    if lower in _LANGUAGES:
        return lower
    parts = re.split(r"[_\-. ]", lower)
    if len(parts) == 2 and parts[0] in ("text", "sentence", "lang", "src", "tgt", "translation"):
        return parts[1] if parts[1] in _LANGUAGES else None
    if len(parts) == 2 and parts[0] in _LANGUAGES and len(parts[1]) in (2, 4):
        return parts[0]
    return None


def script_of(text: str) -> str:
    """Return the script most letters are written in."""
    counts = {name: len(pattern.findall(text)) for name, pattern in _SCRIPTS}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else "none"


def language_of_text(text: str) -> str | None:
    """Guess the language of a longer text by its commonest words; None where unsure."""
    script = script_of(text)
    if script != "latin":
        return None if script == "none" else script
    words = re.findall(r"[^\W\d_]+", text.lower())
    if len(words) < 20:
        return None
    scores = {
        code: sum(word in common for word in words) / len(words)
        for code, common in _COMMON_WORDS.items()
    }
    best = max(scores, key=lambda code: scores[code])
    return best if scores[best] > 0.08 else None


def languages_differ(one: Column, two: Column) -> bool | None:
    """True where two columns are in two languages and of like length; None where unsure."""
    longer, shorter = sorted((one.characters, two.characters), reverse=True)
    if shorter and longer / shorter > 2.5:
        return False
    first, second = (" ".join(list(c.counts)[:100]) for c in (one, two))
    if script_of(first) != script_of(second):
        return True
    here, there = language_of_text(first), language_of_text(second)
    if here and there:
        return here != there
    return None


def shares_words(short: Column, long: Column) -> bool:
    """True where most words of one column also stand in the other."""
    few = set(re.findall(r"\w{4,}", " ".join(short.counts).lower()))
    many = set(re.findall(r"\w{4,}", " ".join(long.counts).lower()))
    return len(few & many) > 0.5 * max(len(few), 1)
