"""Serves the app with the scripted assistant; run as a module with HOME, PORT and seconds a step."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tools.settings import read_settings

if __name__ == "__main__":
    home, port = Path(sys.argv[1]), int(sys.argv[2])
    step_s = float(sys.argv[3]) if len(sys.argv) > 3 else 0.15
    environment = {"LUTHIER_HOME": str(home), "HOME": str(home.parent), "LUTHIER_NETWORK": "never"}
    settings = read_settings(environment)

    from tests.browser.fakes import ScriptedAssistant
    from ui.web.app import assemble, serve

    page, _ = assemble(settings, ScriptedAssistant(settings, step_s=step_s))
    serve(page, port)
    print("ready", flush=True)
    while True:
        time.sleep(60)
