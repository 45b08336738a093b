"""What a new conversation shows: what this is for, and requests to begin with."""

from __future__ import annotations

EXAMPLES = (
    (
        "Tune a model to sort support tickets",
        "Tune a model to sort data/samples/support_tickets.csv",
    ),
    ("Look at a file before deciding", "What is in data/samples/support_tickets.csv?"),
    ("Ask how it works", "LoRA or QLoRA: which should I use?"),
    ("See what Luthier can do", "What can you do?"),
)
WELCOME = (
    '<div class="welcome"><h2>What should your model learn?</h2>'
    "<p>Drop a file below, or describe the job. Luthier looks at the data, recommends a method and"
    " says why, asks before it starts, and tells you whether the tuning was worth it.</p></div>"
)
