"""Copies one Hub dataset to this machine as Parquet. Started by `tools.datasets.hub`.

    python -P -m tools.work.fetch '{"repo": …, "config": …, "split": …, "folder": …}'

The last line on stdout is one JSON object: `state` (`done`, `not_found`, `bad_input`,
`not_allowed`, `unavailable`), and `problem` and `hint` where it failed. No remote code is ever
run: this version of `datasets` reads data files only, and scripts in a repository are an error.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

_MAX_BYTES = 20 * 1024**3


def main(arguments: list[str]) -> int:
    """Fetch what the request names and say how it went."""
    request: dict[str, Any] = json.loads(arguments[0])
    folder = Path(request["folder"])
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        answer = _fetch(request, temporary)
        if answer["state"] == "done":
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    print(json.dumps(answer), flush=True)
    return 0 if answer["state"] == "done" else 1


def _fetch(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    import datasets  # noqa: PLC0415 - after the folder is known to be writable
    from datasets.exceptions import DatasetNotFoundError  # noqa: PLC0415 - as above
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415 - as above

    datasets.disable_progress_bars()
    repo = request["repo"]
    try:
        loaded = datasets.load_dataset(
            repo, request["config"], split=request["split"], cache_dir=str(folder / "cache")
        )
    except DatasetNotFoundError as error:
        if "gated" in str(error).lower():
            return _failed(
                "not_allowed",
                f"{repo} is gated: its owner wants you to agree to terms first.",
                "Agree on its page on the Hub and set HF_TOKEN.",
            )
        return _failed(
            "not_found", f"The Hub has no dataset {repo}.", "Check the name on its page."
        )
    except ValueError as error:
        return _wrong_choice(repo, error)
    except RuntimeError as error:
        return _failed(
            "bad_input",
            f"{repo} can only be read by running its own code, which is never done.",
            f"Choose another dataset, or its Parquet branch. ({_one_line(error)})",
        )
    except (HfHubHTTPError, OSError) as error:
        return _failed(
            "unavailable",
            f"The Hub could not deliver {repo}: {_one_line(error)}.",
            "Check the network connection and try again.",
        )
    return _write(loaded, request, folder)


def _wrong_choice(repo: str, error: ValueError) -> dict[str, Any]:
    text = _one_line(error, 400)
    if "config" in text.lower():
        return _failed(
            "bad_input",
            f"{repo} has several subsets, and none was chosen: {text}",
            f"Name one, such as {repo}@SUBSET.",
        )
    return _failed(
        "bad_input", f"{repo} cannot be read so: {text}", "Check the split and the subset."
    )


def _write(loaded: Any, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    from datasets import DatasetDict  # noqa: PLC0415 - imported above, costs nothing

    splits = loaded if isinstance(loaded, DatasetDict) else {"train": loaded}
    written: dict[str, int] = {}
    for name, split in splits.items():
        if split.dataset_size and split.dataset_size > _MAX_BYTES:
            return _failed(
                "bad_input",
                f"{request['repo']} is larger than 20 GB.",
                f"Ask for a part, such as {request['repo']}:train[:10000].",
            )
        names = _label_names(split.features)
        safe = "".join(c if c.isalnum() or c in "_-" else "_" for c in str(name))
        split.to_parquet(str(folder / f"{safe}.parquet"))
        written[str(name)] = split.num_rows
    shutil.rmtree(folder / "cache", ignore_errors=True)
    about = {**request, "splits": written, "label_names": names}
    (folder / "source.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return {"state": "done", "splits": written}


def _label_names(features: Any) -> dict[str, list[str]]:
    """Return the names behind numbered labels, by column."""
    return {
        name: list(inner.names)
        for name, feature in features.items()
        if getattr(inner := getattr(feature, "feature", feature), "names", None)
    }


def _failed(state: str, problem: str, hint: str) -> dict[str, Any]:
    return {"state": state, "problem": problem, "hint": hint}


def _one_line(error: Exception, limit: int = 160) -> str:
    text = " ".join(str(error).split())
    return text[:limit].rstrip(" .")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
