"""Train the starter tokenizer: byte-level BPE, single digits, chat marks as special tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

VOCABULARY = 2_048
CONTEXT_TOKENS = 1_024
SPECIAL = ["<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
PAD, BOS, END = SPECIAL[:3]
# Words that often serve as labels: one token each, with and without a leading blank, so that
# comparing likelihoods of labels favours no label for being short.
WHOLE_WORDS = [
    *("delivery", "billing", "returns", "account", "technical", "product", "cancellation"),
    *("formal", "casual", "angry", "grateful", "worried"),
    *("positive", "negative", "neutral", "yes", "no", "other", "order", "refund", "shipping"),
]
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{{ '<|assistant|>\\n' }}"
    "{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{{ '\\n' }}"
    "{% else %}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)


def _with_whole_words(texts: Iterable[str]) -> Iterator[str]:
    yield from texts
    for word in WHOLE_WORDS:
        yield "\n".join([word, "a " + word] * 4_000)


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Train on ``texts`` and wrap the result with the special tokens and the chat template."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{N}"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(_with_whole_words(texts), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=SPECIAL[3:],
        model_max_length=CONTEXT_TOKENS,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def check_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    """Raise ``ValueError`` when a whole word is split or a text does not survive a round trip."""
    for word in WHOLE_WORDS:
        for text in (word, " " + word):
            if len(tokenizer.encode(text, add_special_tokens=False)) != 1:
                raise ValueError(f"{text!r} is not one token")
    text = 'Grüße! Order #10482,  {"a": [1, 2]}\n\ttab — £30'
    if tokenizer.decode(tokenizer.encode(text)) != text:
        raise ValueError("text does not survive a round trip")


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write ``tokenizer.json`` and ``tokenizer_config.json``, with the chat template inside."""
    tokenizer.save_pretrained(folder, save_jinja_files=False)
