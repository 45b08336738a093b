"""Scanning a large JSON Lines file: DuckDB as Luthier uses it, beside `datasets`, pandas, a loop.

Each engine does the identical work (rows, columns, exact duplicates, length quantiles) in a
process of its own, whose peak memory is measured. `LUTHIER_SCAN_MB` sets the size (default 1000).
The full inspection stands beside it; it looks at single rows for 15 s and counts all of them.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_ENGINES = {
    "luthier": """
from pathlib import Path
from tools.datasets.scan import scan
from tools.datasets.source import open_source
facts = scan(open_source(Path(path)), ["text", "label"], ["text", "label"])
result = [facts.rows, facts.duplicates, facts.p50, facts.p95, facts.p99]
""",
    "json loop": """
import json
seen, lengths, rows, repeats = set(), [], 0, 0
for line in open(path, encoding="utf-8"):
    row = json.loads(line)
    key = hash((row["text"], row["label"]))
    repeats += key in seen
    seen.add(key)
    lengths.append(len(row["text"]) + len(row["label"]))
    rows += 1
lengths.sort()
result = [rows, repeats, *(lengths[int(q * (rows - 1))] for q in (0.5, 0.95, 0.99))]
""",
    "datasets + loop": """
import datasets, tempfile
datasets.disable_progress_bars()
data = datasets.load_dataset("json", data_files=path, split="train", cache_dir=tempfile.mkdtemp())
seen, lengths, repeats = set(), [], 0
for row in data:
    key = hash((row["text"], row["label"]))
    repeats += key in seen
    seen.add(key)
    lengths.append(len(row["text"]) + len(row["label"]))
lengths.sort()
rows = len(lengths)
result = [rows, repeats, *(lengths[int(q * (rows - 1))] for q in (0.5, 0.95, 0.99))]
""",
    "pandas": """
import pandas as pd
data = pd.read_json(path, lines=True)
lengths = data.text.str.len() + data.label.str.len()
quantiles = lengths.quantile([0.5, 0.95, 0.99], interpolation="lower")
result = [len(data), int(data.duplicated().sum()), *map(int, quantiles)]
""",
    "full inspection": """
from tools.context import Context
from tools.datasets.inspect import inspect_file
from tools.settings import read_settings
import tempfile
home = tempfile.mkdtemp()
report = inspect_file(Context(read_settings({"LUTHIER_HOME": home, "HOME": home})), path)
repeats = next((p.count for p in report.problems if p.code == "exact_duplicates"), 0)
result = [report.rows, repeats, report.looked_at or report.rows]
""",
}
_HARNESS = """
import json, resource, sys, time
path = sys.argv[1]
began = time.perf_counter()
{body}
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps(dict(seconds=seconds, peak_mib=peak, result=result)))
"""


def generate(path: Path, megabytes: int) -> None:
    """Write labelled texts of uneven length, one row in twenty an exact repeat."""
    chance = random.Random(17)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(5000)]
    last = ""
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < megabytes * 1_000_000:
            for _ in range(2000):
                if not last or chance.random() > 0.05:
                    text = " ".join(chance.choices(words, k=chance.randint(30, 130)))
                    last = json.dumps({"text": text, "label": chance.choice("abcdefg")})
                file.write(last + "\n")


def measure(name: str, path: Path) -> dict[str, object]:
    """Run one engine in a process of its own."""
    code = _HARNESS.format(body=_ENGINES[name])
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    measured: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return measured


def main() -> str:
    """Measure every engine on one generated file and return the table."""
    megabytes = int(os.environ.get("LUTHIER_SCAN_MB", "1000"))
    lines = [
        f"A generated JSON Lines file of {megabytes} MB.",
        "",
        "| engine | seconds | rows/s | against `datasets` + loop | peak MiB | rows, repeats … |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.jsonl"
        generate(path, megabytes)
        found = {}
        for name in _ENGINES:
            began = time.perf_counter()
            found[name] = measure(name, path)
            print(f"{name}: {time.perf_counter() - began:.1f} s", flush=True)
    rows = int(found["luthier"]["result"][0])  # type: ignore[index]
    slow = float(found["datasets + loop"]["seconds"])  # type: ignore[arg-type]
    for name, measured in found.items():
        seconds = float(measured["seconds"])  # type: ignore[arg-type]
        peak = float(measured["peak_mib"])  # type: ignore[arg-type]
        lines.append(
            f"| {name} | {seconds:.1f} | {rows / seconds:,.0f} | {slow / seconds:.1f} × "
            f"| {peak:,.0f} | {measured['result']} |"
        )
    table = "\n".join(lines)
    print(table)
    return table


if __name__ == "__main__":
    main()
