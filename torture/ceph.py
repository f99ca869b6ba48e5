"""`hermes doctor` and a first run on Ceph's gateway: `python -m torture.ceph`.

It needs Debian's packages radosgw, ceph-mon and ceph-osd, and is no part of a run of `torture`, which needs no root.
One monitor, one OSD that keeps its objects in memory and one gateway run on loopback, in a temporary folder, until the
check ends. Ceph refuses an etag in quotes in `If-Match`, which every other store here takes.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path

from tests.s3_server import S3Server, answers, free_ports

from hermes.dataset import Dataset
from hermes.stages.bronze.simulate import write_archive

PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
COMMAND_S = 60
REAL_ARCHIVE = Path(__file__).resolve().parents[2] / "shared" / "data" / "binance"
CONFIGURATION = """
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{ports[0]},v1:127.0.0.1:{ports[1]}]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_port_min = {ports[2]}
ms_bind_port_max = {last_port}
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
keyring = {folder}/keyring
run_dir = {folder}
admin_socket = {folder}/$name.socket
pid_file = {folder}/$name.pid
log_file = {folder}/$name.log
crash_dir = {folder}
mon_data = {folder}/mon
osd_data = {folder}/osd
rgw_data = {folder}/rgw
osd_objectstore = memstore
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
[client.admin]
rgw_frontends = beast endpoint=127.0.0.1:{ports[3]}
"""
KEYS = (
    ("mon.", "mon", "allow *"),
    ("client.admin", "mon", "allow *", "osd", "allow *"),
    ("osd.0", "mon", "allow profile osd", "osd", "allow *"),
)


@contextmanager
def serve(folder: Path) -> Iterator[S3Server]:
    """Ceph's gateway until the end of the block."""
    ports = free_ports(4)
    server = S3Server(f"http://127.0.0.1:{ports[3]}")
    for name in ("mon", "osd", "rgw"):
        (folder / name).mkdir()
    conf, keyring, fsid, osd = folder / "ceph.conf", folder / "keyring", uuid.uuid4(), uuid.uuid4()
    conf.write_text(CONFIGURATION.format(fsid=fsid, ports=ports, folder=folder, last_port=ports[2] + 40))

    def run(*words: object) -> None:
        subprocess.run([str(word) for word in words], check=True, capture_output=True, timeout=COMMAND_S, cwd=folder)

    for number, (name, *caps) in enumerate(KEYS):
        pairs = [word for kind, allowed in zip(caps[::2], caps[1::2], strict=True) for word in ("--cap", kind, allowed)]
        run("ceph-authtool", *(["--create-keyring"] * (number == 0)), keyring, "--gen-key", "-n", name, *pairs)
    address = f"[v2:127.0.0.1:{ports[0]},v1:127.0.0.1:{ports[1]}]"
    run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, "monmap")
    run("ceph-mon", "--mkfs", "-i", "a", "--monmap", "monmap", "--keyring", keyring, "-c", conf)
    with ExitStack() as stack:

        def start(*words: object) -> subprocess.Popen:
            log = stack.enter_context((folder / f"{words[0]}.out").open("wb"))
            process = subprocess.Popen([str(word) for word in words], stdout=log, stderr=log, cwd=folder)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        start("ceph-mon", "-f", "-i", "a", "-c", conf)
        run("ceph", "-c", conf, "osd", "new", osd)
        run("ceph-osd", "-i", "0", "--mkfs", "-c", conf, "--osd-uuid", osd)
        start("ceph-osd", "-f", "-i", "0", "-c", conf)
        run("radosgw-admin", "-c", conf, "user", "create", "--uid", "hermes", "--display-name", "hermes",
            "--access-key", server.access_key, "--secret", server.secret_key)  # fmt: skip
        gateway = start("radosgw", "-f", "-n", "client.admin", "-c", conf)
        if not answers(gateway, server.endpoint):
            raise RuntimeError(f"radosgw does not start: {(folder / 'client.admin.log').read_text()[-500:]}")
        yield server


def check(server: S3Server, folder: Path) -> Sequence[str]:
    """A first run, a second one, and the doctor; says what is not as it should be."""
    archive, symbol, expected = REAL_ARCHIVE, "BTCUSDT", (17_515, 27, 193)
    if not archive.is_dir():
        archive, symbol, expected = folder / "archive", "SIMUSDT", None
        write_archive(archive, Dataset(symbol=symbol), date(2024, 10, 1), 6)

    def hermes(*words: str) -> dict:
        done = subprocess.run(
            [Path(sys.executable).with_name("hermes"), *words, "--lake", "s3://{layer}", "--json"],
            env={**os.environ, **server.environ()}, cwd=folder, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        print(f"  hermes {words[0]:8} exit code {done.returncode}", (done.stderr.strip().splitlines() or [""])[-1])
        return {"exit code": done.returncode, **(json.loads(done.stdout) if done.stdout else {})}

    faults = []
    for number in range(2):
        begun = time.monotonic()
        made = hermes("run", symbol, "--archive", str(archive), "--start", "2017-09-01", "--no-report")
        (run,) = made.get("datasets") or [{}]
        found = tuple(run.get(name) for name in ("rows", "buy_signals", "sell_signals"))
        print(f"    run {number + 1}: {found}, {time.monotonic() - begun:.1f} s")
        if made["exit code"] or (expected and found != expected):
            faults.append(f"run {number + 1} gave {found}, exit code {made['exit code']}")
    doctor = hermes("doctor")
    said = {each["found"] for each in doctor.get("findings", []) if each["check"] == "conditions"}
    if not doctor.get("healthy") or said != {"If-None-Match and If-Match are honoured, etags without quotes"}:
        faults.append(f"doctor says {said} and {[each for each in doctor.get('findings', []) if not each['ok']]}")
    return faults


def main() -> int:
    """Exit code 0 where all is right, 1 where not, 2 where Ceph is not installed."""
    if missing := [name for name in PROGRAMS if not shutil.which(name)]:
        print(f"not here: {' '.join(missing)} (apt-get install --no-install-recommends radosgw ceph-mon ceph-osd)")
        return 2
    with tempfile.TemporaryDirectory(prefix="ceph-") as name, serve(Path(name)) as server:
        print(f"Ceph's gateway at {server.endpoint}")
        faults = check(server, Path(name))
    for fault in faults:
        print(f"  {fault}")
    print(f"{'FAIL' if faults else 'PASS'}: Hermes on Ceph's gateway")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
