"""The head that all pages share: what they are called, how they look, and what the browser lets them do."""

from base64 import b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files

from hermes.version import __version__


def head(title: str, policy: str = "", style: str = "") -> str:
    """From the doctype to the opened body.

    Args:
        title: of the window.
        policy: what the page may do beyond showing itself, as directives of a content security policy; without any,
            no script runs and no image is shown. Nothing is ever fetched.
        style: CSS of this page alone.
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; base-uri 'none'; form-action 'none'; \
style-src 'unsafe-inline'{f"; {policy}" if policy else ""}">
<meta name="generator" content="hermes {escape(__version__)}">
<title>{escape(title)}</title>
<style>{resource("page.css")}{style}</style>
</head>
<body>"""


def resource(name: str) -> str:
    """The text of a file that is shipped beside this module."""
    return files("hermes.pages").joinpath(name).read_text("utf-8")


def only(script: str) -> str:
    """The policy under which this one inline script runs and no other, whatever markup finds its way into the page."""
    return f"script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
