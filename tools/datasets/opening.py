"""Opens what a path names: a file, a folder of splits, parallel files, or a zip of these."""

from __future__ import annotations

import lzma
import re
import tempfile
import zipfile
import zlib
from pathlib import Path

from tools.datasets.detect import Opened, look, shown, unpacks_too_far
from tools.datasets.dialect import dialect_of
from tools.datasets.label_names import is_label_list, read_label_list
from tools.datasets.limits import LIMITS, MIB
from tools.datasets.pairs import PairedFiles, find_pairs
from tools.datasets.quarantine import name_list
from tools.datasets.row import SPLIT_NAMES
from tools.datasets.signs import language_of_name
from tools.datasets.source import Part, Source
from tools.datasets.words import word_set
from tools.errors import BadInput, NotFound

_DATA_SUFFIXES = word_set(
    """.csv .tsv .tab .psv .ssv .json .jsonl .ndjson .parquet .arrow .feather .xlsx .xlsm .txt .text
    .conll .iob .bio .conllu .label .labels .lab .in .out .gz .bz2 .xz .zip .md .data"""
)
_NOT_DATA = re.compile(r"^(readme|license|licence|\.|dataset_info|state|_|changelog)", re.I)


def open_source(path: Path, *, follow_links: bool = True) -> Source:
    """Look at a file or folder and find out how to read it.

    Args:
        follow_links: Read links inside a folder; not where a chat chose the folder.

    Raises:
        BadInput: Nothing in it can be read as rows.
    """
    if path.is_dir():
        return _folder(path, follow_links)
    opened = look(path)
    if opened.magic == "zip":
        return _archive(path)
    return Source(path, [_part(path, None, opened)])


def _part(path: Path, split: str | None, opened: Opened) -> Part:
    dialect = None if opened.magic else dialect_of(opened, _suffix(path))
    return Part(path, split, opened, dialect)


def _suffix(path: Path) -> str:
    suffixes = [s.lower() for s in path.suffixes]
    while suffixes and suffixes[-1] in (".gz", ".bz2", ".xz"):
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _folder(path: Path, follow_links: bool) -> Source:
    files = [
        file
        for file in sorted(path.rglob("*"))[: LIMITS.members * 4]
        if file.is_file()
        and (follow_links or not file.is_symlink())
        and _is_data_name(file)
        and not _NOT_DATA.match(file.name)
        and len(file.relative_to(path).parts) <= 3
    ]
    if not files:
        raise NotFound(
            f"The folder {shown(path)} holds no data files.",
            hint="Give a folder with CSV, JSON Lines, JSON, Parquet, Arrow, Excel or text files.",
        )
    if len(files) > LIMITS.members:
        raise BadInput(
            f"The folder {shown(path)} holds more than {LIMITS.members:,} files.",
            hint="Give one data file, or a folder with train, validation and test files.",
        )
    return _together(path, path, files)


def _is_data_name(file: Path) -> bool:
    suffix = file.suffix.lower()
    is_language = len(suffix) == 3 and language_of_name(suffix[1:]) is not None
    return suffix in _DATA_SUFFIXES or is_language or suffix[1:] in SPLIT_NAMES


def _parts_of(folder: Path, files: list[Path]) -> list[Part]:
    """Choose the files that belong together: all of one kind, split by their names."""
    named = [(file, split_of(file.relative_to(folder))) for file in files]
    known: list[tuple[Path, str | None]] = [(file, split) for file, split in named if split]
    if known:
        named = known
    elif len(files) > 1:
        raise BadInput(
            f"The folder {shown(folder)} holds {len(files)} data files with no split in their "
            f"names: {name_list([f.name for f in files], 5)}.",
            hint="Name one of the files, or call them train, validation and test.",
        )
    parts = [_part(file, split, look(file)) for file, split in named]
    kinds = {part.kind for part in parts}
    if "zip" in kinds or len(kinds) > 1:
        raise BadInput(
            f"The files in {shown(folder)} are of different kinds: {', '.join(sorted(kinds))}.",
            hint="Name the one file to use.",
        )
    order = {"train": 0, "validation": 1, "test": 2, None: 0}
    return sorted(parts, key=lambda part: (order[part.split], part.path))


def split_of(path: Path) -> str | None:
    """Return the split a file's (or its folder's) name tells, such as `dev` → `validation`."""
    for name in (path.name.lower(), *(p.lower() for p in reversed(path.parts[:-1]))):
        for word in re.split(r"[^a-z]+", name):
            if word in SPLIT_NAMES:
                return SPLIT_NAMES[word]
    return None


def _parallel(files: list[Path]) -> list[Part]:
    """Return parallel files as parts; only where all files of the folder are paired so."""
    pairs = find_pairs(files)
    if not pairs or 2 * len(pairs) < len(files):
        return []
    parts = []
    for first, second, *names in pairs:
        paired = PairedFiles(first, second, (names[0], names[1]))
        split = split_of(Path(first.name))
        parts.append(Part(first, split, paired.first, None, paired))
    order = {"train": 0, "validation": 1, "test": 2, None: 0}
    return sorted(parts, key=lambda part: (order[part.split], part.path))


def _together(
    path: Path,
    folder: Path,
    files: list[Path],
    scratch: tempfile.TemporaryDirectory[str] | None = None,
) -> Source:
    """Return the files of a folder as one source; a list of label names is read, not counted."""
    paired = _parallel(files)
    if paired:
        return Source(path, paired, scratch)
    lists = [f for f in files if is_label_list(f) and not split_of(f.relative_to(folder))]
    names = read_label_list(lists[0]) if len(lists) == 1 and len(files) > 1 else ()
    rest = [f for f in files if f not in lists] if names else files
    if len(rest) == 1:
        parts = [_part(rest[0], split_of(rest[0].relative_to(folder)), look(rest[0]))]
        return Source(path, parts, scratch, beside=names)
    return Source(path, _parts_of(folder, rest), scratch, beside=names)


_DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError, OSError,
    EOFError, UnicodeDecodeError,
)  # fmt: skip


def _archive(path: Path) -> Source:
    scratch = tempfile.TemporaryDirectory(prefix="luthier-unzip-")
    folder = Path(scratch.name)
    budget = min(LIMITS.unpacked_bytes, 64 * MIB + path.stat().st_size * LIMITS.unpack_ratio)
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if _is_data_member(m)]
            if len(members) > LIMITS.members or sum(m.file_size for m in members) > budget:
                raise unpacks_too_far(path)
            for number, member in enumerate(members):
                budget -= _unpack(archive, member, folder, number, budget, path)
    except _DAMAGED as error:
        locked = isinstance(error, RuntimeError) and "password" in str(error)
        raise BadInput(
            f"{shown(path)} {'is protected by a password' if locked else 'cannot be unpacked'}.",
            hint="Unpack it yourself and give the file inside.",
        ) from error
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if not files:
        raise BadInput(
            f"{shown(path)} holds no data files.",
            hint="Give an archive with CSV, JSON Lines, JSON, Parquet, Excel or text inside.",
        )
    if len(files) == 1:
        return Source(path, [_part(files[0], None, look(files[0]))], scratch)
    return _together(path, folder, files, scratch)


def _is_data_member(member: zipfile.ZipInfo) -> bool:
    name = Path(member.filename)
    return (
        not member.is_dir()
        and _is_data_name(name)
        and name.suffix.lower() != ".zip"
        and not _NOT_DATA.match(name.name)
        and "__MACOSX" not in name.parts
    )


def _unpack(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    folder: Path,
    number: int,
    budget: int,
    path: Path,
) -> int:
    """Copy one member out, under a harmless name; return its bytes."""
    target = folder.joinpath(*_safe_parts(member.filename))
    if target.exists():
        target = folder / f"{number:04d}-{target.name}"
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(member) as packed, target.open("wb") as out:
        while piece := packed.read(MIB):
            written += len(piece)
            if written > budget:
                raise unpacks_too_far(path)
            out.write(piece)
    return written


def _safe_parts(name: str) -> list[str]:
    """Return a member's folders and name as plain words: none can lead out of our own folder."""
    parts = [re.sub(r"[^\w.-]+", "_", part).strip(".")[-80:] for part in Path(name).parts[-3:]]
    return [part for part in parts if part] or ["data"]
