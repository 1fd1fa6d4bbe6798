"""Every link of the documentation leads somewhere, and every page is in the index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "benchmarks" / "RESULTS.md", *sorted(DOCS.glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchor(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def prose(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def broken(page: Path, text: str) -> list[str]:
    """The links of ``text``, which stands in ``page``, that lead nowhere."""
    found = []
    for target in LINK.findall(text):
        name, _, part = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        path = page if not name else (page.parent / name).resolve()
        if not path.exists():
            found.append(target)
        elif part and path.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", prose(path), flags=re.M)
            found += [] if part in {anchor(one) for one in headings} else [target]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    assert broken(page, prose(page)) == []


def test_a_broken_link_is_found() -> None:
    text = "[a](nowhere.txt) [b](faq.md#no-such-heading) [c](#neither) [d](faq.md#questions) [e](https://example.org)"
    assert broken(DOCS / "faq.md", text) == ["nowhere.txt", "faq.md#no-such-heading", "#neither"]


def test_the_index_has_every_page() -> None:
    listed = {Path(target).name for target in LINK.findall((DOCS / "README.md").read_text(encoding="utf-8"))}
    assert {page.name for page in DOCS.iterdir() if page.suffix in (".md", ".cff")} - {"README.md"} <= listed


def test_the_site_has_every_page_and_make_brings_it_there() -> None:
    """``make docs`` fails on a page that it lacks, and on a broken link; here without what builds it."""
    told = re.findall(r"^ +- (?:[^:\n]+: )?(\S+\.md)$", (DOCS / "mkdocs.yml").read_text(encoding="utf-8"), flags=re.M)
    brought = re.findall(r"^SITE := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M)[0].split()
    pages = [path for one in map(ROOT.joinpath, brought) for path in (sorted(one.glob("*.md")) if one.is_dir() else [one])]
    assert sorted(told) == sorted(path.relative_to(ROOT).as_posix() for path in pages)
    assert {page.relative_to(ROOT).as_posix() for page in PAGES} <= set(told)


def test_every_picture_of_the_gallery_is_shown_and_draws_by_itself() -> None:
    shown = set(re.findall(r"gallery/([\w-]+\.svg)", (DOCS / "gallery.md").read_text(encoding="utf-8")))
    assert shown == {path.name for path in (DOCS / "gallery").iterdir()}
    for name in shown:
        text = (DOCS / "gallery" / name).read_text(encoding="utf-8")
        assert not re.search(r"<script|<image|(?:href|src)=\"(?!#)", text), name


def test_the_citation_is_one_and_of_this_version() -> None:
    """By the required keys of the Citation File Format 1.2.0."""
    cited = yaml.safe_load((DOCS / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert (cited["cff-version"], cited["type"], cited["license"]) == ("1.2.0", "software", "MIT")
    assert all(set(one) <= {"name", "family-names", "given-names", "orcid"} for one in cited["authors"])
    assert f'version = "{cited["version"]}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_cluster_of_one_gpu_is_ray_s_and_as_guarded_as_the_large_one() -> None:
    text = (DOCS / "cluster-one-gpu.yaml").read_text(encoding="utf-8")
    one, large = yaml.safe_load(text), yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))
    validate_config(prepare_config(yaml.safe_load(text)))
    assert one["max_workers"] == 0
    (node,) = one["available_node_types"].values()
    assert node["resources"]["GPU"] == 1
    for key in ("file_mounts", "rsync_exclude", "setup_commands", "auth"):
        assert one[key] == large[key], key
    kept, theirs = node["node_config"], large["available_node_types"]["head"]["node_config"]
    assert {key: kept[key] for key in theirs if key != "InstanceType"} == {
        key: value for key, value in theirs.items() if key != "InstanceType"
    }
    (start,) = [command for command in one["head_start_ray_commands"] if "ray start" in command]
    assert "RAY_AUTH_MODE=token" in start
    assert "--dashboard-host=127.0.0.1" in start
