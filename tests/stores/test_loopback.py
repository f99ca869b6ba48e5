"""The S3 server of README and tests is for this machine alone: nobody else can connect to it."""

import re
import sys
from pathlib import Path

import pytest
from tests.docs.pages import PROJECT
from tests.s3_server import S3Server

LISTENS = "0A"
LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells who listens")
def test_weed_listens_on_loopback_only(s3_server: S3Server):
    ports = listening(s3_server.pid)
    assert int(s3_server.endpoint.rpartition(":")[2]) in [port for _, port in ports]
    assert {address for address, _ in ports} <= set(LOOPBACK), ports


def test_readme_starts_it_so():
    for page in ("README.md", "README.fr.md"):
        (line,) = re.findall(r"weed mini .*", (PROJECT / page).read_text())
        assert {"-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-webdav=false"} <= set(line.split())
        assert "-s3.port=9000" in line
        assert "http://127.0.0.1:9000" in (PROJECT / page).read_text()


def listening(pid: int) -> list[tuple[str, int]]:
    """Address (as the kernel writes it) and port of every socket that a process listens on."""
    own = {
        found[1] for link in Path(f"/proc/{pid}/fd").iterdir() if (found := re.match(r"socket:.(\d+)", target(link)))
    }
    listens = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            (
                _,
                local,
                _,
                state,
                *_,
            ) = columns = line.split()
            if state == LISTENS and columns[9] in own:
                address, _, port = local.partition(":")
                listens.append((address, int(port, 16)))
    return listens


def target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # closed meanwhile
        return ""
