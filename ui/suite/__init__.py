"""Measures a brain against cases: tool choice, arguments, end state, consent, repeatability."""

from __future__ import annotations

from ui.suite.outcome import SuiteResult
from ui.suite.running import run_suite

__all__ = ["SuiteResult", "run_suite"]
