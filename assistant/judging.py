"""The configured brain as a judge of answers. Off unless a person asks for it by its command."""

from __future__ import annotations

from langchain_core.messages import HumanMessage

from assistant.brains.select import GUIDED, select_brain
from tools.context import Context
from tools.errors import Unavailable
from tools.evaluate.ballot import Tally
from tools.evaluate.judge import judge_pairs


def judge_with_brain(ctx: Context, job: str, *, pairs: int) -> Tally:
    """Let the configured language model compare a job's answers, both orders of each pair.

    Raises:
        Unavailable: The brain is the guided one, which cannot read answers.
        NotAllowed: The model is elsewhere and the network is switched off.
        Conflict: The job has no answers, or the model gave no usable reply.
    """
    settings = ctx.settings
    if settings.brain == GUIDED:
        raise Unavailable(
            "The guided brain cannot judge answers.",
            hint="Choose a language model in the settings (LUTHIER_BRAIN), or let people vote.",
        )
    brain = select_brain(settings)

    def ask(prompt: str) -> str:
        return str(brain.invoke([HumanMessage(prompt)]).text)

    return judge_pairs(ctx, job, ask, name=settings.brain, most=pairs)
