"""What to look for inside a row's text, each as one compiled pattern."""

from __future__ import annotations

import re

EMAIL = re.compile(r"[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,4}[A-Za-z]{2,24}\b")
PHONE = re.compile(
    r"""(?<![\w/.=-])(?:
      \+\d{1,3}[ .\-]?(?:\(\d{1,4}\)[ .\-]?)?\d{1,4}(?:[ .\-]?\d{2,4}){2,4}   # +44 20 7946 0958
    | \(\d{3}\)[ .\-]?\d{3}[ .\-]\d{4}                                         # (555) 010-9999
    | \d{3}[.\-]\d{3}[.\-]\d{4}                                               # 555-010-9999
    | \d{3}[ ]\d{3}[ ]\d{4}
    | 0\d{3,4}[ -]\d{3}[ -]?\d{3,4} | 0[1-9]\d{8,9}                           # 01632 960 001
    )(?![\w/=-]|\.\d)""",
    re.X,
)
CARD = re.compile(
    r"(?<![\d.-])(?:\d{4}[ -]){3}\d{4}(?![\d-])|(?<![\d.\w])[3-6]\d{14,15}(?![\d.\w])"
)
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")
SSN = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")

KEYS = re.compile(
    r"""\b(?:AKIA|ASIA)[0-9A-Z]{16}\b                       # AWS
    | \bgh[pousr]_[A-Za-z0-9]{30,}\b | \bgithub_pat_\w{30,}   # GitHub
    | \bglpat-[\w-]{20,}                                     # GitLab
    | \bhf_[A-Za-z0-9]{30,}\b                                # Hugging Face
    | \bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{20,}                 # OpenAI, Anthropic
    | \b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}                 # Stripe
    | \bxox[abprs]-[A-Za-z0-9-]{10,}                         # Slack
    | \bAIza[0-9A-Za-z_-]{35}                                # Google
    | \bnpm_[A-Za-z0-9]{36}\b | \bpypi-[A-Za-z0-9_-]{40,}
    | -----BEGIN\ (?:[A-Z]+\ )*PRIVATE\ KEY-----
    | \beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}   # JWT
    | \bAccountKey=[A-Za-z0-9+/=]{40,}
    | \b[a-z][a-z0-9+]{2,12}://[^\s/:@$<{]{1,64}:(?!password@)[^\s/:@$<{]{3,64}@[\w.-]+
    """,
    re.X,
)
ASSIGNED = re.compile(
    r"""(?i)\b(?:password|passwd|pwd|api[ _-]?key|secret[ _-]?key|access[ _-]?token|auth[ _-]?token
    |client[ _-]?secret)["']?\s*(?:[:=]|\bis\b)\s*["']?(?=[^\s"']*[\d])(?=[^\s"']*[A-Za-z])
    [^\s"'<>{}(),;]{8,}""",
    re.X,
)

CONTROL = re.compile(
    r"""<\|[A-Za-z][\w\ ./-]{0,40}\|>                        # <|im_start|>, <|eot_id|>, <|user|>
    | <｜[^｜<>]{1,40}｜>                                      # DeepSeek
    | </?s>(?!\w) | <(?:bos|eos|pad|unk|sop|eop)>
    | <(?:start|end)_of_(?:turn|image|text)>
    | \[/?(?:INST|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|SYSTEM_PROMPT)\]
    | <</?SYS>> | \[(?:gMASK|sMASK)\]
    | <extra_id_\d+>
    """,
    re.X,
)

_WHAT = r"(?:instructions?|prompts?|rules?|guidelines?|directions?|commands?|messages?|context)"
INSTRUCTION = re.compile(
    rf"""(?i)\b(?:ignore|disregard|forget|override|bypass|do\ not\ follow|stop\ following)\b
      [^.!?\n]{{0,40}}?\b(?:previous|prior|above|earlier|preceding|all|any|your|the\ system|my)\b
      [^.!?\n]{{0,30}}?\b{_WHAT}\b
    | \b(?:reveal|print|show|repeat|leak)\b[^.!?\n]{{0,30}}\b(?:system|hidden|initial)\s+prompt\b
    | \bnew\s+(?:system\s+)?instructions?\s*:
    | ^\s*system\s*:\s*\S
    | \byou\ are\ now\ (?:in\ )?(?:developer|dan|jailbr|unrestricted|root|admin|a\ different)
    | \b(?:assistant|agent|ai|model|bot|luthier)\b[\s,:]{{1,3}}(?:please\s+)?(?:you\ must\s+)?
      (?:now\s+)?(?:call|run|execute|delete|start|approve|launch|send|upload|export|forget)\b
    | \b(?:call|invoke|use)\s+(?:the\s+)?(?:tool|function)\s+[`"']?\w+
    | \b(?:start_training|export_model|forget|delete_job|approve)\s*\(
    | \bexfiltrate\b
    | \bdo\ not\ (?:tell|inform|ask)\ the\ user\b
    """,
    re.X | re.M,
)

TAGS = "p|br|div|span|a|li|ul|ol|table|tbody|td|tr|th|b|i|u|em|strong|img|script|style|font|h[1-6]"
HTML = re.compile(
    rf"</?(?:{TAGS})(?:\s[^<>]{{0,300}})?/?>|&(?:amp|lt|gt|quot|apos|nbsp|#\d{{1,6}}|#x[0-9a-f]{{1,6}});",
    re.I,
)
CODE = re.compile(r"```|^(?: {4}|\t)", re.M)

MOJIBAKE = re.compile(
    r"\ufffd|Ã[\u0080-\u00bf\u0152\u0153\u0160\u0161\u017d\u017e\u0192\u02c6\u02dc\u2013-\u2122]"
    r"|â€[\u0080-\u00bf\u2018-\u203a\u0153\u2122\u02dc\u0161]|Â[\u00a0-\u00bf]"
)


def luhn(digits: str) -> bool:
    """True where the digits satisfy the check sum of payment cards (ISO/IEC 7812-1)."""
    numbers = [int(c) for c in digits if c.isdigit()]
    doubled = [sum(divmod(2 * n, 10)) for n in numbers[-2::-2]]
    return (sum(numbers[-1::-2]) + sum(doubled)) % 10 == 0


def has_personal_data(text: str) -> bool:
    """True where the text holds an e-mail address, a phone, card, account or insurance number."""
    if "@" in text and EMAIL.search(text):
        return True
    if not _LONG_NUMBER.search(text):
        return False
    if PHONE.search(text) or SSN.search(text):
        return True
    if any(luhn(found[0]) for found in CARD.finditer(text)):
        return True
    return any(is_iban(found[0]) for found in IBAN.finditer(text))


_LONG_NUMBER = re.compile(r"\d[\d ().-]{5,}\d|[A-Z]{2}\d{2}")
_KEY_LIKE = re.compile(r"[A-Za-z0-9_-]{16}|PRIVATE KEY|://[^\s/@]{3,130}@|xox")
_KEY_WORDS = ("passw", "pwd", "key", "token", "secret")
_ORDER_WORDS = (
    "ignor", "disreg", "forget", "overrid", "bypass", "follow", "prompt", "instruction",
    "you are now", "assistant", "agent", "model", "luthier", "tool", "function", "system",
    "training", "approve", "exfil", "the user", " ai", "bot",
)  # fmt: skip


def has_secret(text: str) -> bool:
    """True where the text holds a key of a known service, or a password that is told."""
    if _KEY_LIKE.search(text) and KEYS.search(text):
        return True
    lower = text.lower()
    return any(word in lower for word in _KEY_WORDS) and bool(ASSIGNED.search(text))


def has_instruction(text: str) -> bool:
    """True where the text speaks to an assistant that reads it."""
    lower = text.lower()
    return any(word in lower for word in _ORDER_WORDS) and bool(INSTRUCTION.search(text))


def is_iban(text: str) -> bool:
    """True where the rearranged number leaves 1 when divided by 97 (ISO 13616)."""
    compact = text.replace(" ", "")
    rearranged = compact[4:] + compact[:4]
    return int("".join(str(int(c, 36)) for c in rearranged)) % 97 == 1


def escape_control(text: str) -> str:
    """Return text in which control tokens can no longer be read as such.

    A space behind the first character breaks the token and stays readable: `< |im_end|>`.
    """
    return CONTROL.sub(lambda found: found[0][0] + " " + found[0][1:], text)
