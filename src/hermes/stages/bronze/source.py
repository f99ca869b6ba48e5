"""Reads one file of an archive, with a deadline and a size limit."""

import re
import stat
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from hermes.errors import ArchiveError, KlinesRefused

if TYPE_CHECKING:
    from obstore import GetResult, ListResult, ObjectMeta

PROGRESS_S = 30.0  # how often a file that is fetched must have grown …
PROGRESS_BYTES = 30_000  # … by so much, or its server is too slow; the whole may take as long as it takes
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Store(Protocol):
    """The interface of the store that holds an archive; obstore's stores have it."""

    def get(self, path: str, /) -> "GetResult":
        """Get an object; raises FileNotFoundError if there is none."""

    def head(self, path: str, /) -> "ObjectMeta":
        """The metadata of an object; raises FileNotFoundError if there is none."""

    def list_with_delimiter(self, prefix: str, /) -> "ListResult[Any]":
        """The objects of one folder, and the folders in it."""


def read_body(found: "GetResult", name: str, most: int, address: str) -> bytes:
    """Read the bytes of a file, within a minimum rate and a maximum size.

    Args:
        found: the answer of the store.
        name: of the file, for errors.
        most: maximum number of bytes.
        address: of the archive, for errors.

    Raises:
        KlinesRefused: it has more bytes than that.
        ArchiveError: the transfer is too slow.
        BaseError, OSError: the store's own.
    """
    parts, grown, since = [], 0, monotonic()
    for part in found.stream(min_chunk_size=1):
        parts.append(bytes(part))
        grown += len(part)
        most -= len(part)
        if most < 0:
            raise KlinesRefused(f"{name} has more bytes than its server says", "repair it in the archive")
        if (seconds := monotonic() - since) >= PROGRESS_S:
            if grown < PROGRESS_BYTES * seconds / PROGRESS_S:
                raise ArchiveError(
                    f"archive {address} sends {name} too slowly: {grown:,} bytes in {seconds:.0f} s",
                    "check the network, or try again later",
                )
            grown, since = 0, monotonic()
    return b"".join(parts)


def oddity(here: Path | None, path: str) -> tuple[str, str] | None:
    """The problem, and its cure, of an entry of a local archive that is not a readable file.

    Args:
        here: the archive's folder, without links; None for a remote archive, which is not examined.
        path: of the file in it.
    """
    if here is None:
        return None
    at = here / path
    cure = f"put the file itself there, or leave it out with [archive] exclude: {at}"
    try:
        target = at.resolve(strict=True)
        mode = target.stat().st_mode
    except FileNotFoundError:
        return (f"{path} is a link to a file that is not there", cure) if at.is_symlink() else None
    except (OSError, RuntimeError) as error:  # a circle of links is a RuntimeError
        return f"{path} cannot be read: {error}", cure
    if not stat.S_ISREG(mode):
        return f"{path} is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file", cure
    if not target.is_relative_to(here):
        return f"{path} is a link out of the archive's folder", cure
    return None


def explain(text: str) -> tuple[str, str]:
    """The problem and its cure, from the text of a store's error."""
    if walked := re.search(r"IO error for operation on (.+): (.+) \(os error \d+\)", text):
        return f"{walked[1]}: {walked[2]}", "correct it there, or remove it"
    if "UnknownIssuer" in text:
        return (
            "its certificate is signed by an authority that this machine does not know (UnknownIssuer)",
            "name the authority's PEM file with SSL_CERT_FILE, or for s3:// with s3.ca_file (AWS_CA_BUNDLE)",
        )
    if "InvalidCertificate" in text or "InvalidContentType" in text:
        return "its certificate is for another name, has expired, or it does not speak TLS", "check the address"
    reach = "check the address and the network, and that the server runs"
    for sign, what in (
        ("kind: Timeout", "it did not answer in time"),
        ("ConnectionRefused", "connection refused"),
        ("dns error", "its host name is unknown"),
        ("kind: Connect", "no connection could be made"),
    ):
        if sign in text:
            return what, reach
    if status := re.search(r"status code: (\d{3}[\w ]*)", text):
        code = re.search(r"<Code>(\w+)</Code>", text)
        what = f"it answered {status[1].strip()}" + (f" ({code[1]})" if code else "")
        denied = status[1].startswith(("401", "403"))
        return what, "check the keys and what they may read" if denied else "check the address, or try again later"
    return text.partition("\n")[0][:200], reach
