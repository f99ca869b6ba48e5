import re

from hermes.pages.head import head, only, resource


def test_without_a_policy_nothing_runs_and_nothing_is_fetched():
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', head("Sweep"))[1]
    assert policy == "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'unsafe-inline'"


def test_what_a_page_needs_beyond_that_is_added():
    assert "style-src 'unsafe-inline'; img-src data:\">" in head("Page", "img-src data:")
    assert head("Page", style=".mine {}").index("--page:") < head("Page", style=".mine {}").index(".mine {}")


def test_the_title_is_no_markup():
    assert "<title>&lt;b&gt;&amp;</title>" in head("<b>&")


def test_the_hash_of_a_script():
    # From the content security policy specification, level 3, of the script alert('Hello, world.');
    assert only("alert('Hello, world.');") == "script-src 'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"
    assert resource("theme.js").startswith('"use strict"')
