"""Trust in a private certificate authority (`s3.ca_file`), for each of the clients that reach an S3 store."""

import hashlib
import os
import ssl
import tempfile
from pathlib import Path

from hermes.dataset import expanded
from hermes.errors import SettingsError
from hermes.settings.sections import S3Settings


def authority(s3: S3Settings) -> bytes:
    """The certificates of `ca_file`; raises SettingsError if it cannot be read or has none."""
    path = expanded(s3.ca_file or "")
    try:
        found = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"s3.ca_file {path}: {error.strerror}", "give the PEM file of the store's authority"
        ) from None
    if b"-----BEGIN CERTIFICATE-----" not in found:
        raise SettingsError(f"s3.ca_file {path} has no certificate in it", "give the PEM file of the store's authority")
    return found


def trust(s3: S3Settings) -> None:
    """Make Polars trust `ca_file` as well: it takes its authorities from the file that SSL_CERT_FILE names.

    That file stands for all others. So one is made of those that were trusted until now and `ca_file`, in the folder of
    temporary files; its name is its content's, and only its owner may write to it.
    """
    if not s3.ca_file:
        return
    before = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    known, added = Path(before).read_bytes() if before else b"", authority(s3)
    if added in known:
        return
    bundle = known.rstrip() + b"\n" + added
    path = Path(tempfile.gettempdir()) / f"hermes-ca-{os.getuid()}-{hashlib.sha256(bundle).hexdigest()[:16]}.pem"
    if not (path.is_file() and path.lstat().st_uid == os.getuid() and path.read_bytes() == bundle):
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(bundle)
        Path(file.name).replace(path)
    os.environ["SSL_CERT_FILE"] = str(path)


def tls_context(s3: S3Settings) -> ssl.SSLContext:
    """What the standard library's client trusts."""
    context = ssl.create_default_context()
    if s3.ca_file:
        context.load_verify_locations(cadata=authority(s3).decode("ascii", "replace"))
    return context
