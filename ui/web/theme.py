"""How the app looks: one accent, quiet greys, system fonts."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import gradio as gr
from gradio.themes.utils.colors import Color
from gradio.themes.utils.sizes import Size

_STATIC = Path(__file__).parent / "static"
_FONT = (
    "-apple-system", "BlinkMacSystemFont", "Segoe UI", "Roboto", "Helvetica Neue", "Noto Sans",
    "Liberation Sans", "Arial", "sans-serif",
)  # fmt: skip
_MONO = ("ui-monospace", "SF Mono", "Menlo", "Consolas", "Liberation Mono", "monospace")

SPRUCE = Color(
    name="spruce", c50="#eef6f3", c100="#dcede7", c200="#b9dbd0", c300="#8cc3b2", c400="#5ba692",
    c500="#2f8872", c600="#17695a", c700="#12564a", c800="#0f453c", c900="#0b362f", c950="#06221d",
)  # fmt: skip
GREY = Color(
    name="ash", c50="#fafbfa", c100="#f3f5f4", c200="#e4e8e6", c300="#cfd5d2", c400="#9aa4a0",
    c500="#66706c", c600="#4c5551", c700="#363d3a", c800="#232827", c900="#191d1c", c950="#121514",
)  # fmt: skip
_TEXT = Size(
    name="text_luthier", xxs="13px", xs="13px", sm="13px", md="15px", lg="16px", xl="20px",
    xxl="24px",
)  # fmt: skip


def theme() -> gr.themes.Base:
    """Return the Gradio theme that the style sheet builds upon."""
    base = gr.themes.Base(
        primary_hue=SPRUCE,
        secondary_hue=SPRUCE,
        neutral_hue=GREY,
        text_size=_TEXT,
        radius_size=gr.themes.sizes.radius_md,
        font=_FONT,
        font_mono=_MONO,
    )
    return base.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="#1b1f1d",
        body_text_color_dark="#e8ecea",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="#aeb8b3",
        block_border_width="0px",
        block_shadow="none",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_300",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_200",
        button_primary_text_color="white",
        button_primary_text_color_dark="#0d1513",
        button_secondary_background_fill="white",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_700",
        button_border_width="1px",
        input_background_fill="white",
        input_background_fill_dark="*neutral_900",
        input_border_width="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        input_border_color_focus="*primary_600",
        input_border_color_focus_dark="*primary_300",
        shadow_drop="none",
    )


@cache
def css() -> str:
    """Return the style sheet."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(_STATIC.glob("*.css")))


@cache
def head() -> str:
    """Return what goes into the page's head: the page's own small script."""
    script = (_STATIC / "page.js").read_text(encoding="utf-8")
    return f'<meta name="referrer" content="no-referrer"><script>{script}</script>'
