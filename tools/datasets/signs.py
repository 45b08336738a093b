"""Names and contents that tell what a column is for."""

from __future__ import annotations

import re

from tools.datasets.languages import language_of_text, script_of
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
