"""What a store honours is found by trying; nothing is left of it, and an answer that got lost is not misjudged."""

import itertools

import obstore
import pytest
from obstore.exceptions import GenericError
from tests.s3_double import Double, Quirks, serve_double

from hermes.lake.backends import conditions, s3_client
from hermes.lake.backends.conditions import Conditions, try_conditions
from hermes.settings import S3Settings

KINDS = list(itertools.product(("quoted", "bare", "ignored"), (True, False)))


@pytest.fixture(scope="module")
def double():
    with serve_double() as server:
        server.buckets["b"] = {}
        yield server


def tried(server: Double) -> Conditions:
    settings = S3Settings(endpoint=server.endpoint, access_key="a", secret_key="b")
    return try_conditions(s3_client.connect("b", settings), "_locks/")


@pytest.mark.parametrize(("if_match", "create_only"), KINDS)
def test_every_kind_of_store_is_told(double: Double, if_match: str, create_only: bool):
    double.quirks = Quirks(if_match=if_match, if_none_match=create_only)
    found = tried(double)
    assert found == Conditions(create_only, None if if_match == "ignored" else if_match)
    assert found.complete == (create_only and if_match != "ignored")
    assert double.buckets["b"] == {}
    said = str(found)
    assert ("not honoured" in said) != found.complete
    assert ("without quotes" in said) == (found.complete and if_match == "bare")


@pytest.mark.parametrize(("if_match", "create_only"), KINDS)
def test_answers_that_get_lost_change_no_verdict(
    double: Double, monkeypatch: pytest.MonkeyPatch, if_match: str, create_only: bool
):
    double.quirks = Quirks(if_match=if_match, if_none_match=create_only)
    put = obstore.put

    def twice(*args, **kw):
        put(*args, **kw)
        return put(*args, **kw)  # what the client does when the first answer did not come

    monkeypatch.setattr(conditions.obstore, "put", twice)
    assert tried(double) == Conditions(create_only, None if if_match == "ignored" else if_match)


def test_a_store_that_is_away_is_no_verdict(double: Double, monkeypatch: pytest.MonkeyPatch):
    def away(*_, **__):
        raise GenericError("error sending request")

    monkeypatch.setattr(conditions.obstore, "put", away)
    with pytest.raises(GenericError):
        tried(double)


@pytest.mark.parametrize(
    "said", ["501 Not Implemented", "400 Bad Request: <Error><Code>InvalidArgument</Code></Error>"]
)
def test_a_store_that_does_not_know_conditions(double: Double, monkeypatch: pytest.MonkeyPatch, said: str):
    put = obstore.put

    def unknown(*args, mode="overwrite", **kw):
        if mode != "overwrite":
            raise GenericError(f"Server returned non-2xx status code: {said}")
        return put(*args, **kw)

    double.quirks = Quirks()
    monkeypatch.setattr(conditions.obstore, "put", unknown)
    assert tried(double) == Conditions(False, None)
