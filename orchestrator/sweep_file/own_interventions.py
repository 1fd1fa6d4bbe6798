"""Interventions of the user's own as a sweep file names them: ``file.py:name``, of files below the folder of the sweep file."""

from __future__ import annotations

from pathlib import Path as Folder

from actors.interventions.own import REFERENCE, check_code, digest_of
from orchestrator.errors import nearest_entry
from orchestrator.sweep_file.sections import Path, Sections


def named_with_code(view: Sections, at: Path, written: str, folder: Folder) -> tuple[str, str]:
    """What names an intervention in ids, and the text of its file (empty: it is one of the registry).

    A file or a function that is not there is reported ``at`` its place; addition then stands in for it.
    """
    own = REFERENCE.fullmatch(written)
    if own is None:
        return written, ""
    file, name = folder / own["file"], own["name"]
    try:
        code = file.read_text(encoding="utf-8")
        check_code(code, name)
    except FileNotFoundError:
        nearest = nearest_entry(file)
        message, close = f"there is no such file in {file.parent}", nearest and f"{nearest}:{name}"
        view.report(at, message, f"{file.name}:{name}", allowed="file.py:name", nearest=close)
        return "addition", ""
    except (OSError, ValueError) as error:
        view.report(at, str(error), f"{file.name}:{name}", allowed="file.py:name")
        return "addition", ""
    return f"{file.name}:{name}@{digest_of(code, name)}", code
