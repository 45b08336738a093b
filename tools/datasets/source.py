"""A source of rows: one file, a zip, a folder with splits, or a prepared version."""

from __future__ import annotations

import hashlib
import re
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tools.datasets.detect import Opened, look, shown, unpacks_too_far
from tools.datasets.dialect import Dialect, dialect_of
from tools.datasets.label_names import is_label_list, read_label_list
from tools.datasets.limits import LIMITS, MIB
from tools.datasets.pairs import PairedFiles, find_pairs
from tools.datasets.problems import Problem, problem
from tools.datasets.quarantine import name_list
from tools.datasets.row import NUMBER, SPLIT, SPLIT_NAMES, ReadLog, Row, Wanted, every
from tools.datasets.rows import read_rows
from tools.datasets.sampled import EvenSample
from tools.datasets.signs import language_of_name
from tools.datasets.table_rows import arrow_label_names, arrow_rows, excel_rows
from tools.datasets.words import word_set
from tools.errors import BadInput, NotFound

_DATA_SUFFIXES = word_set(
    """.csv .tsv .tab .psv .ssv .json .jsonl .ndjson .parquet .arrow .feather .xlsx .xlsm .txt .text
    .conll .iob .bio .conllu .label .labels .lab .in .out .gz .bz2 .xz .zip .md .data"""
)
_NOT_DATA = re.compile(r"^(readme|license|licence|\.|dataset_info|state|_|changelog)", re.I)
_TITLES = {
    "csv": "CSV",
    "jsonl": "JSON Lines",
    "json": "JSON",
    "parquet": "Parquet",
    "arrow": "Arrow",
    "excel": "Excel",
    "conll": "token and tag lines",
    "text": "plain text",
    "pairs": "parallel text files",
}


@dataclass
class Part:
    """One readable file of a source."""

    path: Path
    split: str | None
    opened: Opened
    dialect: Dialect | None
    pair: PairedFiles | None = None

    @property
    def kind(self) -> str:
        """Kind of the file: `csv`, `jsonl`, `parquet`, …"""
        if self.pair:
            return "pairs"
        if self.dialect:
            return self.dialect.kind
        return (self.opened.magic or "").replace("arrow_stream", "arrow")

    def rows(self, log: ReadLog, wanted: Wanted = every) -> Iterator[Row]:
        """Yield raw rows."""
        if self.pair:
            yield from self.pair.rows(log)
        elif self.dialect:
            yield from read_rows(self.opened, self.dialect, log, wanted)
        elif self.opened.magic == "excel":
            yield from excel_rows(self.path)
        else:
            yield from arrow_rows(self.path, self.opened.magic or "", wanted, log)


@dataclass
class Source:
    """Where rows come from. Reading it twice gives the same rows in the same order.

    Attributes:
        parts: Its files; more than one for folders and archives.
        scratch: Keeps unpacked members alive as long as the source is used.
        passed: Split → rows that the last reading passed, wanted or not.
        beside: Names of numbered labels, from a file of their own.
    """

    path: Path
    parts: list[Part]
    scratch: tempfile.TemporaryDirectory[str] | None = None
    log: ReadLog = field(default_factory=ReadLog)
    passed: Counter[str] = field(default_factory=Counter)
    beside: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Kind of its (first) file."""
        return self.parts[0].kind

    @property
    def title(self) -> str:
        """How a person calls the kind of file."""
        part = self.parts[0]
        title = _TITLES.get(part.kind, part.kind)
        if part.kind == "csv" and part.dialect and part.dialect.delimiter == "\t":
            title = "TSV"
        return f"{title} in {len(self.parts)} files" if len(self.parts) > 1 else title

    def rows(self, wanted: Wanted = every) -> Iterator[tuple[int, str | None, Row]]:
        """Yield `(number, split, row)`; what cannot be read is counted in `log`.

        Args:
            wanted: Tells by its number which row is read.
        """
        self.log, self.passed = ReadLog(), Counter()
        base = 0
        for part in self.parts:
            log = ReadLog()
            number = base - 1
            for row in part.rows(log, _shifted(wanted, base)):
                own = row.pop(NUMBER, None)
                number = base + own if own is not None else number + 1
                yield number, row.pop(SPLIT, None) or part.split, row
            for broken in log.broken:
                self.log.note(base + broken, log.reason)
            self.log.broken_count += log.broken_count - len(log.broken)
            after = max(number + 1, base + log.seen)
            self.passed[part.split or "train"] += after - base
            base = after

    def label_names(self) -> dict[str, tuple[str, ...]]:
        """Return the names behind numbered labels by column, where a Parquet file tells them."""
        part = self.parts[0]
        return arrow_label_names(part.path, part.opened.magic or "")

    def problems(self) -> list[Problem]:
        """Return what the files themselves have wrong; complete once the rows were read."""
        return [*_encoding_problems(self.parts), *self.log.problems()]

    def sha256(self) -> str:
        """Return the digest of the bytes: of the file, or of names and files in a folder."""
        if self.path.is_file():
            return _file_digest(self.path)
        whole = hashlib.sha256()
        for part in sorted(self.parts, key=lambda p: p.path):
            whole.update(f"{part.path.name}\0{_file_digest(part.path)}\n".encode())
            if part.pair:
                whole.update(f"{_file_digest(part.pair.second.path)}\n".encode())
        return whole.hexdigest()


def _shifted(wanted: Wanted, base: int) -> Wanted:
    if wanted is every:
        return wanted
    if isinstance(wanted, EvenSample):
        return replace(wanted, base=base)
    return lambda number: wanted(base + number)


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
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
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


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _encoding_problems(parts: list[Part]) -> list[Problem]:
    foreign = [part for part in parts if part.opened.foreign_encoding]
    mixed = sum(part.opened.broken_bytes for part in parts)
    found: list[Problem] = []
    if foreign:
        codec = foreign[0].opened.encoding.removeprefix("luthier-")
        found.append(
            problem(
                "broken_encoding",
                "info",
                f"The file is not UTF-8; it was read as {codec}.",
                "Check accents in the preview; saving the file as UTF-8 removes the doubt.",
                count=len(foreign),
            )
        )
    if mixed:
        found.append(
            problem(
                "broken_encoding",
                "warning",
                f"{mixed:,} bytes are not valid UTF-8 and were read as cp1252.",
                "Save the file as UTF-8 where it was made.",
                count=mixed,
            )
        )
    return found
