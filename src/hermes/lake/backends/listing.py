"""Listings of a shared bucket: keys that are not paths do not hide those that are.

obstore refuses a whole listing for one key like `a//b` or `a/../b`, which S3 takes as any other. Where it does, the
listing is asked for once more, by a request of our own, and such keys are passed over: no file of Hermes is named so.
"""

import hashlib
import hmac
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_plus, urlsplit
from xml.etree import ElementTree

import obstore
from obstore.exceptions import GenericError, InvalidPathError

from hermes.lake.backends import s3_client
from hermes.lake.backends.s3_client import get, head
from hermes.lake.backends.tls import tls_context
from hermes.settings.sections import S3Settings

if TYPE_CHECKING:
    from obstore import GetResult, ListResult, ObjectMeta
    from obstore.store import S3Store

_log = logging.getLogger("hermes.lake")
_EMPTY = hashlib.sha256(b"").hexdigest()
_warned: set[str] = set()


class Listing:
    """The read requests to one bucket.

    Args:
        store: its client.
        bucket: its name.
        s3: how it is reached, for requests that the client cannot make.
        anonymous: requests are not signed.
    """

    def __init__(self, store: "S3Store", bucket: str, s3: S3Settings, *, anonymous: bool = False) -> None:
        self._store, self._bucket, self._s3 = store, bucket, s3
        self._signed = bool(s3.access_key and s3.secret_key) and not anonymous

    def get(self, key: str) -> "GetResult":
        """An object; raises FileNotFoundError where there is none."""
        return get(self._store, key)

    def head(self, key: str) -> "ObjectMeta":
        """What is known of an object; raises FileNotFoundError where there is none."""
        return head(self._store, key)

    def below(self, folder: str) -> "list[ObjectMeta]":
        """Every object below a folder, without markers of folders."""
        try:
            return [entry for page in obstore.list(self._store, folder) for entry in page]
        except InvalidPathError:
            return self._asked(folder, delimiter="")[0]

    def list_with_delimiter(self, folder: str) -> "ListResult[list[ObjectMeta]]":
        """The objects of one folder, and the folders in it."""
        try:
            found = obstore.list_with_delimiter(self._store, folder)
        except InvalidPathError:
            objects, folders = self._asked(folder, delimiter="/")
            return {"objects": objects, "common_prefixes": folders}
        return {"objects": list(found["objects"]), "common_prefixes": list(found["common_prefixes"])}

    def _asked(self, folder: str, delimiter: str) -> "tuple[list[ObjectMeta], list[str]]":
        try:
            return self._parsed(folder, delimiter)
        except (ElementTree.ParseError, ValueError) as error:  # damaged on its way, or no store's answer
            where = self._s3.endpoint or "https://s3"
            raise GenericError(f"Error performing GET {where}: Got invalid list response: {error}") from None

    def _parsed(self, folder: str, delimiter: str) -> "tuple[list[ObjectMeta], list[str]]":
        prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
        objects: list[ObjectMeta] = []
        folders: list[str] = []
        for page in self._pages({"list-type": "2", "prefix": prefix, "delimiter": delimiter, "encoding-type": "url"}):
            encoded = page.findtext("EncodingType") == "url"
            for entry in page.iter("Contents"):
                key = _text(entry, "Key", encoded)
                if self._is_path(key) and not key.endswith("/"):
                    stamp = datetime.fromisoformat((entry.findtext("LastModified") or "").replace("Z", "+00:00"))
                    about: dict[str, Any] = {
                        "path": key,
                        "last_modified": stamp,
                        "size": int(entry.findtext("Size") or 0),
                    }
                    objects.append({**about, "e_tag": entry.findtext("ETag"), "version": None})  # type: ignore[typeddict-item]
            for entry in page.iter("CommonPrefixes"):
                inside = _text(entry, "Prefix", encoded).removesuffix("/")
                if self._is_path(inside):
                    folders.append(inside)
        return objects, folders

    def _is_path(self, key: str) -> bool:
        if not {"", ".", ".."} & set(key.removesuffix("/").split("/")):
            return True
        name = f"s3://{self._bucket}/{key}"
        if name not in _warned:
            _warned.add(name)
            _log.warning("%r is passed over: its name is not a path", name)
        return False

    def _pages(self, query: Mapping[str, str]) -> Iterator[ElementTree.Element]:
        following: str | None = ""
        while following is not None:
            asked = {**query, "continuation-token": following}
            page = ElementTree.fromstring(self._page({name: value for name, value in asked.items() if value}))
            for each in page.iter():  # without the namespace that most servers give
                each.tag = each.tag.rpartition("}")[2]
            yield page
            following = page.findtext("NextContinuationToken") if page.findtext("IsTruncated") == "true" else None
            if following and following == asked["continuation-token"]:
                raise ValueError("the same page is named as the next one")

    def _page(self, query: Mapping[str, str]) -> bytes:
        """One answer; raises GenericError as obstore would, with the store's own words."""
        url, headers = self._request(query)
        for left in reversed(range(s3_client.RETRIES + 1)):
            try:
                request = urllib.request.Request(url, headers=headers)
                with urllib.request.urlopen(
                    request, timeout=s3_client.REQUEST_S, context=tls_context(self._s3)
                ) as answer:
                    return bytes(answer.read())
            except urllib.error.HTTPError as error:
                said = error.read(2000).decode("utf-8", "replace")
                if error.code < 500 or not left:
                    raise GenericError(f"Error performing GET {url}: {error.code} {error.reason}: {said}") from None
            except OSError as error:
                if not left:
                    raise GenericError(f"Error performing GET {url}: error sending request: {error}") from None
            time.sleep(0.2)
        raise AssertionError("unreachable")

    def _request(self, query: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Address and headers of a listing, signed as AWS' Signature Version 4 wants it."""
        s3, region = self._s3, self._s3.region
        if s3.endpoint:
            base = s3.endpoint if not s3.path_style else f"{s3.endpoint}/{self._bucket}"
        elif s3.path_style:
            base = f"https://s3.{region}.amazonaws.com/{self._bucket}"
        else:
            base = f"https://{self._bucket}.s3.{region}.amazonaws.com"
        parts = urlsplit(base)
        path = quote(parts.path or "/", safe="/-_.~")
        text = "&".join(
            f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(query.items())
        )
        url = f"{parts.scheme}://{parts.netloc}{path}?{text}"
        if not (self._signed and s3.access_key and s3.secret_key):
            return url, {}
        now = datetime.now(UTC)
        stamp, day = f"{now:%Y%m%dT%H%M%SZ}", f"{now:%Y%m%d}"
        headers = {"host": parts.netloc, "x-amz-content-sha256": _EMPTY, "x-amz-date": stamp}
        if s3.session_token:
            headers["x-amz-security-token"] = s3.session_token.get_secret_value()
        names, scope = ";".join(sorted(headers)), f"{day}/{region}/s3/aws4_request"
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        asked = hashlib.sha256(f"GET\n{path}\n{text}\n{lines}\n{names}\n{_EMPTY}".encode()).hexdigest()
        key = f"AWS4{s3.secret_key.get_secret_value()}".encode()
        for part in (day, region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{asked}".encode(), "sha256").hex()
        credential = f"{s3.access_key.get_secret_value()}/{scope}"
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
        )
        return url, headers


def _text(entry: ElementTree.Element, name: str, encoded: bool) -> str:
    text = entry.findtext(name) or ""
    return unquote_plus(text) if encoded else text
