"""Scanning a large JSON Lines file: DuckDB as Luthier uses it, beside `datasets`, pandas, a loop.

Each engine does the identical work (rows, columns, exact duplicates, length quantiles) in a
process of its own, imports included, whose peak memory is measured. Luthier finds the columns in a
sample of 4,000 rows. `LUTHIER_SCAN_MB` sets the size (default 1000); five times that size is
scanned by Luthier alone. The full inspection stands beside: it counts all rows and looks at an
even sample of 20,000 rows one by one.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase

_ENGINES = {
    "luthier": """
from pathlib import Path
from tools.datasets.choose import choose
from tools.datasets.scan import scan
from tools.datasets.opening import open_source
source = open_source(Path(path))
columns = list(choose(source).columns)
facts = scan(source, columns, columns)
result = [facts.rows, columns, facts.duplicates, facts.p50, facts.p95, facts.p99]
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
quantiles = [lengths[int(q * (rows - 1))] for q in (0.5, 0.95, 0.99)]
result = [rows, data.column_names, repeats, *quantiles]
""",
    "json loop": """
import json
seen, lengths, names, repeats = set(), [], {}, 0
for line in open(path, encoding="utf-8"):
    row = json.loads(line)
    names.update(dict.fromkeys(row))
    key = hash((row["text"], row["label"]))
    repeats += key in seen
    seen.add(key)
    lengths.append(len(row["text"]) + len(row["label"]))
lengths.sort()
rows = len(lengths)
quantiles = [lengths[int(q * (rows - 1))] for q in (0.5, 0.95, 0.99)]
result = [rows, list(names), repeats, *quantiles]
""",
    "pandas": """
import pandas as pd
data = pd.read_json(path, lines=True)
lengths = data.text.str.len() + data.label.str.len()
quantiles = lengths.quantile([0.5, 0.95, 0.99], interpolation="lower")
result = [len(data), list(data.columns), int(data.duplicated().sum()), *map(int, quantiles)]
""",
    "full inspection": """
from tools.context import Context
from tools.datasets.inspect import inspect_file
from tools.settings import read_settings
import tempfile
home = tempfile.mkdtemp()
report = inspect_file(Context(read_settings({"LUTHIER_HOME": home, "HOME": home})), path)
repeats = next((p.count for p in report.problems if p.code == "exact_duplicates"), 0)
seen = report.looked_at or report.rows
result = [report.rows, list(report.columns), repeats, f"looked at {seen}"]
""",
}
_HARNESS = """
import json, resource, sys, time
path = sys.argv[1]
began = time.perf_counter()
{body}
seconds = time.perf_counter() - began
used = resource.getrusage(resource.RUSAGE_SELF)
peak, cpu = used.ru_maxrss / 1024, used.ru_utime + used.ru_stime
print(json.dumps(dict(seconds=seconds, cpu_seconds=cpu, peak_mib=peak, result=result)))
"""


def generate(path: Path, megabytes: int) -> None:
    """Write labelled texts of uneven length, about one row in twenty an exact repeat."""
    chance = random.Random(17)
    words = ["".join(chance.choices(ascii_lowercase, k=6)) for _ in range(200_000)]
    prose = " ".join(words)
    last = ""
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < megabytes * 1_000_000:
            for _ in range(2000):
                if not last or chance.random() > 0.05:
                    length = chance.randint(200, 900)
                    start = chance.randrange(len(prose) - length)
                    text, label = prose[start : start + length], chance.choice("abcdefg")
                    last = json.dumps({"text": text, "label": label})
                file.write(last + "\n")


@dataclass(frozen=True)
class Measured:
    """What one engine took: time on the clock, and on all processors together."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    result: list[object]

    @property
    def rows(self) -> int:
        """Rows that it counted."""
        return int(str(self.result[0]))


def measure(name: str, path: Path) -> Measured:
    """Run one engine in a process of its own."""
    code = _HARNESS.format(body=_ENGINES[name])
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    measured = Measured(**json.loads(done.stdout.splitlines()[-1]))
    print(f"{name}: {measured}", flush=True)
    return measured


def row_of(name: str, measured: Measured, slow: float | None) -> str:
    """Return a line of the table.

    Args:
        slow: Rows per second of `datasets` + loop on the same file; None where it was not run.
    """
    speed = measured.rows / measured.seconds
    against = f"{speed / slow:.1f} ×" if slow else "–"
    return (
        f"| {name} | {measured.seconds:.1f} | {measured.cpu_seconds:.1f} | {speed:,.0f} "
        f"| {against} | {measured.peak_mib:,.0f} | {', '.join(map(str, measured.result))} |"
    )


def main() -> str:
    """Measure every engine on one generated file and return the table."""
    megabytes = int(os.environ.get("LUTHIER_SCAN_MB", "1000"))
    lines = [
        f"A generated JSON Lines file of {megabytes:,} MB, and one of {5 * megabytes:,} MB. Other "
        "work ran on the machine now and then, so the fastest of several runs counts: of three of "
        "Luthier, of two of `datasets`.",
        "",
        "| engine | seconds | CPU seconds | rows/s | against `datasets` + loop | peak MiB "
        "| rows, columns, repeats, p50, p95, p99 |",
        "|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.jsonl"
        generate(path, megabytes)
        found: dict[str, Measured] = {}
        for name in (*_ENGINES, "luthier", "datasets + loop", "luthier"):
            run = measure(name, path)
            if name not in found or run.seconds < found[name].seconds:
                found[name] = run
        slow = found["datasets + loop"].rows / found["datasets + loop"].seconds
        lines += [row_of(name, measured, slow) for name, measured in found.items()]
        generate(path, 5 * megabytes)
        for name in ("luthier", "full inspection"):
            measured = measure(name, path)
            lines.append(row_of(f"{name}, {5 * megabytes:,} MB", measured, None))
    table = "\n".join(lines)
    print(table)
    return table


if __name__ == "__main__":
    main()
