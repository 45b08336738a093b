"""Serves the app for a test: `python -m tests.browser.serve PORT [scripted]`; then prints ready."""

from __future__ import annotations

import sys
import time

from tools.settings import read_settings


def main() -> None:
    from ui.web.app import assemble, serve

    settings, port = read_settings(), int(sys.argv[1])
    assistant = None
    if "scripted" in sys.argv:
        from tests.browser.fakes import ScriptedAssistant

        assistant = ScriptedAssistant(settings)
    page, desk = assemble(settings, assistant)
    serve(page, port)
    desk.warm()
    print("ready", flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()
