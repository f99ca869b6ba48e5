"""Where the tests keep temporary files: in memory, where there is room.

They make, copy and remove tens of thousands of small files. In memory that costs the kernel a quarter less than on a
disk, and nothing waits for it.
"""

import os
import shutil
import tempfile
from pathlib import Path

IN_MEMORY = Path("/dev/shm")  # on Linux, a file system in memory
ROOM = 4 << 30  # bytes that have to be free in it
NAME = "tests-of-hermes-"  # not what the S3 server of the tests has as its access key


def keep_in_memory(folder: Path = IN_MEMORY, room: int = ROOM) -> Path | None:
    """Make a folder in memory and have this process, and all that it starts, keep temporary files there.

    Nothing is changed where `TMPDIR` says another place, and where there is no room or programs may not be run.
    What a run left behind that failed or was killed is removed by the next one.
    """
    if "TMPDIR" in os.environ or not os.access(folder, os.W_OK | os.X_OK):
        return None
    _remove_those_of_ended_processes(folder)
    volume = os.statvfs(folder)
    if volume.f_bavail * volume.f_frsize < room or volume.f_flag & os.ST_NOEXEC:
        return None
    made = Path(tempfile.mkdtemp(prefix=f"{NAME}{os.getpid()}-", dir=folder))
    made.chmod(0o711)  # passable, as `/tmp` is: some tests start programs as another user
    os.environ["TMPDIR"] = str(made)
    tempfile.tempdir = None  # the folder that was found before
    return made


def remove(folder: Path) -> None:
    """Remove what `keep_in_memory` made, at the end of the process that made it."""
    shutil.rmtree(folder, ignore_errors=True)


def _remove_those_of_ended_processes(folder: Path) -> None:
    for left in folder.glob(f"{NAME}*"):
        process = left.name.removeprefix(NAME).partition("-")[0]
        if left.stat().st_uid == os.getuid() and not Path("/proc", process).exists():
            remove(left)
