# SPDX-License-Identifier: MIT
"""Downloads against a server on the loopback that misbehaves in every way we know of."""

import hashlib
import http.server
import io
import itertools
import logging
import random
import stat
import tarfile
import threading
import urllib.request
import zipfile
from pathlib import Path

import pytest

from mcrage.datasets import download
from mcrage.datasets.card_model import DownloadSettings
from mcrage.datasets.cards import download_settings, read_card
from mcrage.datasets.download import Patience, SourceError, fetch, redact, unpack
from mcrage.datasets.embedded import TABLES, write_embedded
from mcrage.datasets.file_model import Archive, File, Source
from mcrage.errors import UserError

CARDS = Path(__file__).parents[1] / "resources" / "datasets"
BODY = b"age,sex\r\n1,f\r\n2,m"


def sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the path says; counts requests."""

    def do_GET(self):
        server = self.server
        server.requests.append(self.path)
        name = self.path.strip("/").split("?")[0]
        if name == "flaky" and len(server.requests) < 3:
            self.answer(503, b"busy")
        elif name in ("good", "flaky"):
            self.answer(200, BODY)
        elif name == "unannounced":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(BODY)
        elif name == "wrong":
            self.answer(200, b"<html>log in</html>")
        elif name == "truncated":
            self.answer(200, BODY, length=len(BODY) + 100)
        elif name == "lying":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(BODY * 100)
        elif name == "archive":
            self.answer(200, server.archive)
        elif name.startswith("redirect-"):
            self.send_response(302)
            self.send_header("Location", server.targets[name])
            self.end_headers()
        else:
            self.answer(404, b"none")

    def answer(self, code, body, length=None):
        self.send_response(code)
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Keep the test's output quiet."""


@pytest.fixture
def server():
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.requests, served.targets, served.archive = [], {}, b""
    served.url = f"http://127.0.0.1:{served.server_port}"
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


@pytest.fixture
def patience():
    pauses = []
    told = Patience(attempts=4, first_pause=1.0, timeout=5.0, sleep=pauses.append)
    return told, pauses


def file_of(*sources, body=BODY, **more) -> File:
    return File(
        name="ward.csv",
        sha256=sha(body),
        sources=[Source(**source) for source in sources],
        **more,
    )


def get(file, tmp_path, patience, mirror=None):
    output = tmp_path / "downloads" / "ward" / "ward.csv"
    told = fetch(file, output, dataset="ward", mirror=mirror, patience=patience[0])
    return output, told


def refused(file, tmp_path, patience, mirror=None) -> str:
    """Return the message of a download that must fail and must leave no file behind."""
    with pytest.raises(UserError) as caught:
        get(file, tmp_path, patience, mirror)
    left = [path for path in (tmp_path / "downloads").rglob("*") if path.is_file()]
    assert left == []
    return str(caught.value)


@pytest.mark.parametrize("path", ["good", "unannounced"])
def test_file_arrives_unaltered(server, tmp_path, patience, path):
    output, told = get(file_of({"url": f"{server.url}/{path}"}), tmp_path, patience)
    assert output.read_bytes() == BODY
    assert told == f"{server.url}/{path}"
    assert [item.name for item in output.parent.iterdir()] == ["ward.csv"]


def test_flaky_server_is_tried_again_with_longer_pauses(server, tmp_path, patience):
    output, _ = get(file_of({"url": f"{server.url}/flaky"}), tmp_path, patience)
    assert output.read_bytes() == BODY
    assert len(server.requests) == 3
    assert patience[1] == [1.0, 2.0]


def test_truncated_answer_is_tried_again_then_given_up(server, tmp_path, patience):
    message = refused(file_of({"url": f"{server.url}/truncated"}), tmp_path, patience)
    assert len(server.requests) == 4
    assert patience[1] == [1.0, 2.0, 4.0]
    assert "4 attempts" in message


@pytest.mark.parametrize(
    ("path", "said"), [("nowhere", "answered 404"), ("wrong", "wrong content: SHA-256")]
)
def test_lasting_failures_are_not_tried_again(server, tmp_path, patience, path, said):
    message = refused(file_of({"url": f"{server.url}/{path}"}), tmp_path, patience)
    assert said in message
    assert len(server.requests) == 1


def test_dead_server_is_told(tmp_path, patience, server):
    closed = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    closed.server_close()
    url = f"http://127.0.0.1:{closed.server_port}/good"
    assert "no connection" in refused(file_of({"url": url}), tmp_path, patience)


def test_silent_server_times_out(tmp_path, patience):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/good"
        short = Patience(attempts=1, timeout=0.2), []
        message = refused(file_of({"url": url}), tmp_path, short)
    assert "TimeoutError" in message or "timed out" in message


def test_size_is_bounded_announced_or_not(server, tmp_path, patience):
    for path in ("wrong", "lying"):
        file = file_of({"url": f"{server.url}/{path}"}, body=b"12", size=2)
        assert "too large" in refused(file, tmp_path, patience)


def test_next_source_is_taken_when_one_fails(server, tmp_path, patience):
    file = file_of({"url": f"{server.url}/wrong"}, {"url": f"{server.url}/good"})
    output, told = get(file, tmp_path, patience)
    assert output.read_bytes() == BODY
    assert told.endswith("/good")
    assert server.requests == ["/wrong", "/good"]


def test_message_lists_every_source_and_what_to_do(server, tmp_path, patience):
    file = file_of(
        {"url": f"{server.url}/nowhere"}, {"url": f"{server.url}/wrong"}, {"path": "none.csv"}
    )
    message = refused(file, tmp_path, patience)
    lines = message.splitlines()
    assert lines[0].startswith("dataset ward: no source delivered ward.csv")
    assert [line.startswith("  - ") for line in lines[1:4]] == [True] * 3
    assert "/nowhere: the server answered 404" in lines[1]
    assert f"SHA-256 {sha(b'<html>log in</html>')}" in lines[2]
    assert "none.csv: no such file" in lines[3]
    assert str(tmp_path / "downloads" / "ward" / "ward.csv") in message
    assert file.sha256 in lines[-1]


def test_of_a_table_of_ones_own_nobody_is_told_to_download_it(tmp_path, patience):
    file = file_of({"path": str(tmp_path / "patients.csv")})
    message = refused(file, tmp_path, patience)
    assert f"{tmp_path / 'patients.csv'}: no such file" in message
    assert "not downloaded: put it there, or correct its path in the card" in message
    (tmp_path / "patients.csv").write_bytes(b"changed")
    message = refused(file, tmp_path, patience)
    assert "If it was changed since this run was planned, run again" in message
    assert "by hand" not in message


def test_mirror_comes_first_and_needs_no_server(server, tmp_path, patience):
    mirror = tmp_path / "mirror"
    (mirror / "ward").mkdir(parents=True)
    file = file_of({"url": f"{server.url}/good"})
    (mirror / "ward" / "ward.csv").write_bytes(BODY)
    output, told = get(file, tmp_path, patience, str(mirror))
    assert output.read_bytes() == BODY
    assert told == str(mirror / "ward" / "ward.csv")
    assert server.requests == []


def test_altered_file_in_the_mirror_is_passed_over(server, tmp_path, patience, caplog):
    mirror = tmp_path / "mirror"
    (mirror / "ward").mkdir(parents=True)
    (mirror / "ward" / "ward.csv").write_bytes(BODY + b"3,f")
    output, told = get(file_of({"url": f"{server.url}/good"}), tmp_path, patience, str(mirror))
    assert output.read_bytes() == BODY
    assert told.endswith("/good")
    assert "wrong content" in caplog.text


def test_mirror_that_lacks_the_file_is_no_reason_to_warn(server, tmp_path, patience, caplog):
    caplog.set_level(logging.INFO)
    (tmp_path / "mirror").mkdir()
    file = file_of({"url": f"{server.url}/good"})
    output, _ = get(file, tmp_path, patience, str(tmp_path / "mirror"))
    assert output.read_bytes() == BODY
    assert "no such file" in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.INFO}


def test_hand_placement_names_the_mirror_when_there_is_one(server, tmp_path, patience):
    (tmp_path / "mirror").mkdir()
    file = file_of({"url": f"{server.url}/nowhere"})
    message = refused(file, tmp_path, patience, str(tmp_path / "mirror"))
    assert f"put it at {tmp_path / 'mirror' / 'ward' / 'ward.csv'} and run again" in message


def test_mirror_that_is_no_folder_is_a_config_mistake(tmp_path, patience):
    message = refused(file_of({"path": "x"}), tmp_path, patience, str(tmp_path / "nothing"))
    assert message.startswith("config key mirror: found")


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/hostname",
        "ftp://127.0.0.1/x",
        "http://example.org/x",
        "data:text/plain,x",
        "//example.org/x",
    ],
)
def test_redirects_leave_https_nowhere(server, tmp_path, patience, target):
    server.targets["redirect-away"] = target
    message = refused(file_of({"url": f"{server.url}/redirect-away"}), tmp_path, patience)
    assert "redirects to" in message
    assert "refused" in message
    assert len(server.requests) == 1


def test_redirect_on_the_loopback_is_followed(server, tmp_path, patience):
    server.targets["redirect-home"] = "/good"
    output, _ = get(file_of({"url": f"{server.url}/redirect-home"}), tmp_path, patience)
    assert output.read_bytes() == BODY


def test_redirect_in_a_circle_ends(server, tmp_path, patience):
    server.targets["redirect-circle"] = "/redirect-circle"
    message = refused(file_of({"url": f"{server.url}/redirect-circle"}), tmp_path, patience)
    assert "302" in message


@pytest.mark.parametrize(
    ("url", "allowed"),
    [("https://a.org/x", True), ("http://127.0.0.1/x", False), ("http://a.org/x", False)],
)
def test_redirects_from_https_stay_https(url, allowed):
    assert download._allowed(url, after="https://example.org/w.csv") is allowed


def test_opener_speaks_http_alone():
    opener = download._opener("https://example.org")
    assert set(opener.handle_open) - {"http", "https"} <= {"unknown"}
    with pytest.raises(urllib.request.URLError):
        opener.open("https://127.0.0.1:1/", timeout=0.2)
    assert opener.open("file:///etc/hostname") is None


def test_tokens_are_neither_logged_nor_told(server, tmp_path, patience, caplog):
    caplog.set_level(logging.DEBUG)
    server.targets["redirect-away"] = "http://u:hunter2@example.org/x?key=hunter2#hunter2"
    file = file_of(
        {"url": f"{server.url}/flaky-not?token=hunter2"},
        {"url": f"{server.url}/truncated?token=hunter2"},
        {"url": f"{server.url}/redirect-away?token=hunter2"},
    )
    message = refused(file, tmp_path, patience)
    assert server.requests[0].endswith("hunter2")
    assert "hunter2" not in message
    assert "hunter2" not in caplog.text
    assert redact("https://u:p@a.org:8/b?c=d#e") == "https://a.org:8/b"


def zip_of(members, link=None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
        if link:
            info = zipfile.ZipInfo(link)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "/etc/hostname")
    return buffer.getvalue()


def tar_of(members, link=None, kind=tarfile.SYMTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
        if link:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = kind, "/etc/hostname"
            archive.addfile(info)
    return buffer.getvalue()


@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_member_of_an_archive_arrives(server, tmp_path, patience, pack):
    server.archive = pack({"readme": b"x", "data/ward.csv": BODY})
    file = file_of({"url": f"{server.url}/archive"}, archive={"member": "data/ward.csv"})
    output, _ = get(file, tmp_path, patience)
    assert output.read_bytes() == BODY
    assert [item.name for item in output.parent.iterdir()] == ["ward.csv"]


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (zip_of({"../ward.csv": b"x", "ward.csv": BODY}), "leads out of it"),
        (tar_of({"../ward.csv": b"x", "ward.csv": BODY}), "leads out of it"),
        (zip_of({"/ward.csv": b"x", "ward.csv": BODY}), "leads out of it"),
        (tar_of({"a/../../w": b"x", "ward.csv": BODY}), "leads out of it"),
        (zip_of({"..\\w": b"x", "ward.csv": BODY}), "leads out of it"),
        (zip_of({}, link="ward.csv"), "is a link"),
        (tar_of({}, link="ward.csv"), "is a link"),
        (tar_of({}, link="ward.csv", kind=tarfile.LNKTYPE), "is a link"),
        (tar_of({}, link="ward.csv", kind=tarfile.FIFOTYPE), "is a link or not a plain file"),
        (zip_of({"ward.csv": bytes(10_000)}), "larger than the 100 bytes"),
        (tar_of({"ward.csv": bytes(10_000)}), "larger than the 100 bytes"),
        (zip_of({"other.csv": BODY}), "lacks 'ward.csv'; it holds other.csv"),
        (zip_of({"ward.csv": BODY})[:-10], "not a readable zip or tar file"),
        (tar_of({"ward.csv": BODY})[:40], "not a readable zip or tar file"),
        (b"<html>log in</html>", "not a readable zip or tar file"),
        (b"", "not a readable zip or tar file"),
    ],
    # Not the bytes, which hold the time: workers that collect a second apart would disagree.
    ids=itertools.count(),
)
def test_archives_that_do_harm_are_refused(server, tmp_path, patience, packed, said):
    server.archive = packed
    file = file_of({"url": f"{server.url}/archive"}, size=100, archive={"member": "ward.csv"})
    assert said in refused(file, tmp_path, patience)
    assert not (tmp_path / "ward.csv").exists()


def test_unpacked_archive_is_bounded_itself(server, tmp_path, patience):
    server.archive = zip_of({"ward.csv": BODY})
    file = file_of({"url": f"{server.url}/archive"}, archive={"member": "ward.csv", "size": 10})
    assert "too large" in refused(file, tmp_path, patience)


@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_broken_archives_are_clear_failures(pack):
    body = random.Random(0).randbytes(200_000)  # too large for one read of the unpacker
    packed = pack({"ward.csv": body})
    failures = 0
    for position in [*range(0, 200, 3), *range(200, len(packed), 5_000)]:
        broken = bytearray(packed)
        broken[position] ^= 0xFF
        try:  # any other exception would reach the user as a traceback
            unpack(io.BytesIO(broken), Archive(member="ward.csv"), io.BytesIO(), 10**6)
        except SourceError:
            failures += 1
    assert failures > 20


def test_embedded_table_is_written_the_same_every_time(tmp_path, patience):
    settings = download_settings(read_card("diabetes", CARDS))
    card = DownloadSettings.model_validate(settings)
    output = tmp_path / "diabetes.csv"
    fetch(card.files[0], output, dataset="diabetes", patience=patience[0])
    again = tmp_path / "again.csv"
    write_embedded("sklearn.datasets.load_diabetes", again)
    assert again.read_bytes() == output.read_bytes()


def test_embedded_table_loses_no_digit(tmp_path):
    import numpy as np
    from sklearn.datasets import load_diabetes

    write_embedded("sklearn.datasets.load_diabetes", tmp_path / "d.csv")
    read = np.loadtxt(tmp_path / "d.csv", delimiter=",", skiprows=1)
    bunch = load_diabetes(scaled=False)
    np.testing.assert_array_equal(read[:, :-1], bunch.data)
    np.testing.assert_array_equal(read[:, -1], bunch.target)


def test_card_model_and_embedded_tables_agree():
    for name in TABLES:
        assert Source(embedded=name).embedded == name
