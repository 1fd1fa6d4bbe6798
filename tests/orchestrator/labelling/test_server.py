"""The label page's server without a browser: who is let in, what is saved, and what a kill loses."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPException
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from orchestrator.errors import InputError
from orchestrator.labelling.desk import desk
from orchestrator.labelling.sample import Draw
from orchestrator.labelling.session import RaterSession
from orchestrator.results.folder import Folder
from orchestrator.results.ratings import read_ratings
from orchestrator.storage import StorageError
from tests.orchestrator.labelling.made_up import COUNTS, Client, serving, to_label
from tests.orchestrator.samples import filled, grid

ROOT = Path(__file__).parents[3]
_NUMBER = count()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the tests here share, each as another rater."""
    return to_label(tmp_path_factory.mktemp("results") / "out")


@pytest.fixture
def client(place: Path) -> Iterator[Client]:
    """Of a rater of the test's own."""
    with serving(place, f"rater-{next(_NUMBER)}", Draw(12)) as found:
        yield found


def rated(place: Path, rater: str) -> list[str | None]:
    """The labels that count, in the order in which they were given."""
    return [one.label for one in read_ratings(Folder(place), rater).values()]


def test_a_person_labels_all_of_a_sample(place: Path) -> None:
    with serving(place, "all", Draw(12)) as client:
        _, state = client.ask("state")
        assert state["labels"] == ["coherent_refusal", "normal", "garbled", "no_answer"]
        assert (state["rater"], state["done"], state["total"], state["behavior"]) == ("all", 0, 12, "refusal")
        for number in range(12):
            assert (state["item"], state["done"]) == (number, number)
            assert state["answer"].startswith("Answer to p")
            status, state = client.ask("rate", {"item": state["item"], "label": state["labels"][number % 4], "comment": "hm"})
            assert status == 200
        assert state == {"rater": "all", "done": 12, "total": 12, "item": None}
    kept = list(read_ratings(Folder(place), "all").values())
    assert [one.label for one in kept] == ["coherent_refusal", "normal", "garbled", "no_answer"] * 3
    assert {one.comment for one in kept} == {"hm"}


def test_nothing_that_the_page_gets_tells_the_condition(client: Client, place: Path) -> None:
    cells = {path.stem for path in (place / "responses").iterdir()}
    status, page, _ = client.raw("")
    _, state = client.ask("state")
    assert status == 200
    assert set(state) == {
        *("rater", "done", "total", "item", "behavior", "prompt", "answer", "thought", "cut", "labels"),
    }
    assert not any(cell in page.decode() + json.dumps(state) for cell in cells)


@pytest.mark.parametrize("path", ["/", "/state", "/wrong/", "/wrong/state", "/%s", "//state", "/../state"])
def test_without_the_token_nothing_is_told(client: Client, path: str) -> None:
    token = client.url.split("/")[-2]
    assert len(token) >= 32
    status, told = client.ask(path.replace("%s", token[:-1] + "/"))
    assert (status, set(told)) == (403, {"error"})
    assert client.ask("/wrong/undo", {})[0] == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "0.0.0.0:%d", ""])
def test_another_host_name_that_leads_here_is_refused(client: Client, host: str) -> None:
    assert client.ask("state", Host=host.replace("%d", str(client.port)))[0] == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_another_site_that_knows_the_address_is_refused(client: Client, headers: dict[str, str]) -> None:
    assert client.ask("undo", {}, **headers)[0] == 403
    assert client.ask("state", **headers)[0] == 403
    own = {"Origin": f"http://127.0.0.1:{client.port}", "Sec_Fetch_Site": "same-origin"}
    assert client.ask("undo", {}, **own)[0] == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[1]", 400),
        (b'{"item": 0, "label": "normal", "label": "garbled"}', 400),
        (b"[" * 50_000, 400),
        (b"x" * 70_000, 413),
        ({"item": 99, "label": "normal"}, 400),
        ({"item": -1, "label": "normal"}, 400),
        ({"item": True, "label": "normal"}, 400),
        ({"item": "0", "label": "normal"}, 400),
        ({"item": 0, "label": "norml"}, 400),
        ({"item": 0, "label": None}, 400),
        ({"item": 0, "label": "normal", "comment": "x" * 3000}, 400),
        ({"item": 0}, 400),
    ],
)
def test_what_is_no_rating_is_refused_in_words_and_not_saved(place: Path, client: Client, body: object, status: int) -> None:
    got, told = client.ask("rate", body)
    assert (got, set(told)) == (status, {"error"})
    _, state = client.ask("state")
    assert state["done"] == 0
    assert rated(place, state["rater"]) == []


@pytest.mark.parametrize("begun", ["GET {path}state HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n", "GET /x"])
def test_a_browser_that_resets_its_connection_tells_the_rater_nothing(
    client: Client, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, begun: str
) -> None:
    for _ in range(3):
        opened = socket.create_connection(("127.0.0.1", client.port))
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        opened.sendall(begun.format(path=urlsplit(client.url).path, port=client.port).encode())
        time.sleep(0.1)
        opened.close()
    assert client.ask("state")[0] == 200
    time.sleep(0.2)
    assert (capfd.readouterr().err, caplog.text) == ("", "")


def test_what_else_ends_a_request_is_logged_in_a_line_without_the_token(
    client: Client, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(session: RaterSession) -> dict[str, object]:
        raise TypeError(f"of {client.url}")

    monkeypatch.setattr(RaterSession, "state", fails)
    with pytest.raises(HTTPException):
        client.ask("state")
    (record,) = caplog.records
    assert record.getMessage().startswith("a request to the page failed: TypeError: of http://127.0.0.1")
    assert urlsplit(client.url).path.strip("/") not in caplog.text
    assert capfd.readouterr().err == ""


def test_other_methods_types_and_pages_are_refused(client: Client) -> None:
    assert client.ask("rate", {"item": 0, "label": "normal"}, Content_Type="text/plain")[0] == 415
    assert client.ask("nothing")[0] == 404
    assert client.ask("nothing", {})[0] == 404
    assert client.ask("rate", {"item": 0, "label": "norml"})[1]["error"].endswith("did you mean 'normal'?")


def test_the_page_may_run_its_own_script_and_nothing_else(client: Client) -> None:
    status, page, headers = client.raw("")
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert status == 200
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert {policy[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    for name in ("script", "style"):
        (content,) = re.findall(rf"<{name}>(.*?)</{name}>", page.decode(), flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert policy[f"{name}-src"] == f"'sha256-{digest}'"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    text = page.decode()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|https?:|\son\w+=|src=|href=", text)


def test_undo_takes_back_the_last_label_and_those_before_it(place: Path) -> None:
    with serving(place, "undo", Draw(12)) as client:
        for item in range(3):
            client.ask("rate", {"item": item, "label": "normal"})
        _, state = client.ask("undo", {})
        assert (state["item"], state["done"]) == (2, 2)
        client.ask("rate", {"item": 2, "label": "garbled"})
    with serving(place, "undo", Draw(12)) as client:
        _, state = client.ask("undo", {})
        _, state = client.ask("undo", {})
        assert (state["item"], state["done"]) == (1, 1)
        client.ask("undo", {})
        _, state = client.ask("undo", {})
        assert (state["item"], state["done"]) == (0, 0)
    assert rated(place, "undo") == []


def test_a_response_that_was_said_again_is_shown_again(place: Path) -> None:
    with serving(place, "again", Draw(5)) as client:
        client.ask("rate", {"item": 0, "label": "normal"})
        client.ask("rate", {"item": 1, "label": "normal"})
    file = place / "ratings" / "again.jsonl"
    file.write_text(file.read_text().replace(json.loads(file.read_text().splitlines()[0])["response_sha256"], "0" * 20, 1))
    with serving(place, "again", Draw(5)) as client:
        assert client.ask("state")[1]["item"] == 0


def test_two_raters_at_once_read_the_same_and_do_not_see_each_other(place: Path) -> None:
    with serving(place, "bob", Draw(8)) as bob, serving(place, "cleo", Draw(8)) as cleo:
        for item in range(8):
            assert bob.ask("rate", {"item": item, "label": "normal"})[0] == 200
            assert cleo.ask("rate", {"item": item, "label": "garbled"})[0] == 200
        assert bob.url != cleo.url
        assert cleo.ask(f"/{bob.url.split('/')[-2]}/state")[0] == 403
    assert list(read_ratings(Folder(place), "bob")) == list(read_ratings(Folder(place), "cleo"))
    assert (set(rated(place, "bob")), set(rated(place, "cleo"))) == ({"normal"}, {"garbled"})


def test_one_rater_has_one_page(place: Path) -> None:
    with serving(place, "dora"), pytest.raises(InputError, match="open already"), desk(place, "dora", Draw()):
        pytest.fail("two pages")
    with serving(place, "dora") as client:
        assert client.ask("state")[0] == 200


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", ".x", "-x", "x" * 33, "a b", "ä", "a\n"])
def test_a_rater_whose_name_is_no_file_name_is_refused(place: Path, name: str) -> None:
    with pytest.raises(InputError, match="not a name for a rater"), desk(place, name, Draw(seed=7)):
        pytest.fail("it was let in")
    assert not list(place.glob("ratings/sample-100-7*"))


def test_what_has_no_labels_yet_is_no_sample(tmp_path: Path) -> None:
    store = filled(tmp_path / "out", grid(), COUNTS)
    shutil.rmtree(tmp_path / "out" / "scores")
    store.compact()
    with pytest.raises(InputError, match="holds no labelled response yet"), desk(tmp_path / "out", "anna", Draw(5)):
        pytest.fail("there is nothing to read")
    assert not list((tmp_path / "out").glob("ratings/*.json"))


def test_what_cannot_be_saved_is_told_and_not_counted(place: Path, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    client.ask("rate", {"item": 0, "label": "normal"})
    with monkeypatch.context() as patch:
        patch.setattr("orchestrator.storage.atomic.os.write", full)
        status, told = client.ask("rate", {"item": 1, "label": "normal"})
        assert status == 507
        assert "No space left" in told["error"]
    _, state = client.ask("state")
    assert (state["done"], state["item"]) == (1, 1)


def test_a_refused_undo_leaves_the_label(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with desk(place, "erik", Draw(3)) as server:
        server.session.rate(0, "normal")
        monkeypatch.setattr("orchestrator.storage.atomic.os.fsync", lambda handle: (_ for _ in ()).throw(OSError(5, "I/O error")))
        with pytest.raises(StorageError):
            server.session.undo()
        monkeypatch.undo()
        assert server.session.done == 1
    assert rated(place, "erik") == ["normal"]


def test_a_killed_server_has_lost_nothing_and_the_same_command_goes_on(place: Path) -> None:
    """kill -9 right after each answer, which comes when the label is on the disk."""
    command = [sys.executable, "-m", "orchestrator", "label", str(place), "--rater", "killed", "--n", "6", "--json"]
    seen: list[tuple[int, str]] = []
    for number in range(2):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            assert (told["done"], told["total"]) == (2 * number, 6)
            client = Client(told["url"])
            for _ in range(2):
                _, state = client.ask("state")
                seen.append((state["item"], state["prompt"]))
                assert client.ask("rate", {"item": state["item"], "label": "normal"})[0] == 200
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
    assert [item for item, _ in seen] == [0, 1, 2, 3]
    with desk(place, "killed", Draw(6)) as server:
        assert server.session.done == 4
        assert server.session.state()["item"] == 4


def test_half_a_line_costs_that_line_only(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    with desk(place, "frida", Draw(3)) as server:
        server.session.rate(0, "normal")
        server.session.rate(1, "garbled")
    file = place / "ratings" / "frida.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    with desk(place, "frida", Draw(3)) as server:
        assert server.session.state()["item"] == 1
        server.session.rate(1, "no_answer")
    assert rated(place, "frida") == ["normal", "no_answer"]
    assert "frida.jsonl: left out, for it is no rating: line 2" in caplog.text


def test_texts_that_would_deceive_the_eye_are_written_out(place: Path) -> None:
    with desk(place, "gil", Draw(3)) as server:
        session: RaterSession = server.session
        reading = replace(session.readings[0], answer="a\u202eb\x1b[31m\nc", prompt="<script>1</script>")
        shown = reading.shown()
    assert shown["answer"] == "a\\u202eb\\x1b[31m\nc"
    assert shown["prompt"] == "<script>1</script>"
