"""Placeholders in what a back-end is asked: whatever a client calls itself is one value (behaviour, 22)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emqx_mgmt.broker.auth.client import CertifiedClient, Client
from emqx_mgmt.plugins.lookup.auth import LOCAL
from emqx_mgmt.plugins.placeholders import MEANING, RENAMED, Command, SqlQuery, Template, are_missing, values_of

NASTY = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("'\"\\%`;-#\r\n$*{}()"), max_size=30)
VALUES = dict.fromkeys(MEANING, "")
VERBS = frozenset({"HMGET", "GET"})


def values(username: str = "joe", client_id: str = "c1") -> dict[str, str]:
    return VALUES | {"%u": username, "%c": client_id}


@pytest.mark.parametrize(("text", "statement", "bound"), [
    ("select p from t where u = '%u'", "select p from t where u = %s", ("joe",)),
    ("select p from t where u = %u and c='%c'", "select p from t where u = %s and c=%s", ("joe", "c1")),
    ("select p from t where u like '%u%'", "select p from t where u like %s", ("joe%",)),
    ("select p from t where u = '%u@%c''s'", "select p from t where u = %s", ("joe@c1's",)),
    ("select p from t where u = concat('50%', %u)", "select p from t where u = concat('50%%', %s)", ("joe",)),
    ("select '%', p -- of %u\nfrom t where u='%u'", "select '%%', p -- of %%u\nfrom t where u=%s", ("joe",)),
    ("select p /* '%u */ from t where u='%u'", "select p /* '%%u */ from t where u=%s", ("joe",)),
    ("select \"a'b\" from t where u='%u'", "select \"a'b\" from t where u=%s", ("joe",)),
    ("select p from t where l like '%list%' and c='%cname'", "select p from t where l like '%%list%%' and c=%s",
     ("c1name",)),
    ("select p from t where a = 'it\\'s' and u='%u'", "select p from t where a = 'it\\'s' and u=%s", ("joe",)),
])
def test_values_of_sql_are_bound(text: str, statement: str, bound: tuple[str, ...]):
    query = SqlQuery.parse(text)
    assert (query.statement, query.bound(values())) == (statement, bound)


@pytest.mark.parametrize("text", [
    "select p from %u", "select p from `%u`", 'select "%u" from t', "select p from t order by %u", "select p from t_%u",
    "select p from t where %u.a = 1", "select p from t join %c on 1", "select p from t where %u(1)",
])
def test_a_placeholder_is_no_name(text: str):
    with pytest.raises(ValueError, match="has a placeholder at character"):
        SqlQuery.parse(text)


@pytest.mark.parametrize("name", ["%C", "%d", "%cn", "%dn"])
def test_a_client_without_a_certificate_is_not_asked_about(name: str):
    """An empty text in its place may be in another's row."""
    query = SqlQuery.parse(f"select password from mqtt_user where cn = '{name}'")
    assert are_missing(query.placeholders, Client("c", "joe", LOCAL, ""))
    known = CertifiedClient.of(Client("c", None, LOCAL, ""), "CN=a\\,b,O=c")
    assert not are_missing(query.placeholders, known)
    assert query.bound(values_of(known)) == ("a,b" if name in ("%C", "%cn") else "CN=a\\,b,O=c",)


@given(NASTY, NASTY)
def test_no_value_changes_a_statement(username: str, client_id: str):
    query = SqlQuery.parse("select a from b where u = '%u' or c like 'x%c' or '%' = %u")
    assert query.statement == "select a from b where u = %s or c like %s or '%%' = %s"
    assert query.bound(values(username, client_id)) == (username, f"x{client_id}", username)


@given(NASTY, NASTY)
def test_no_value_divides_a_word_of_a_command(username: str, client_id: str):
    command = Command.parse("HMGET users:%u:%c 'the password' \"%u\"", VERBS)
    assert command.fill(values(username, client_id)) == (
        "HMGET", f"users:{username}:{client_id}", "the password", username)


@pytest.mark.parametrize("text", ["FLUSHALL", "hdel x y", "HMGET 'x", 'GET "x', "'", "%u x", ""])
def test_a_command_that_does_more_than_read_is_refused(text: str):
    with pytest.raises(ValueError, match=r"must begin with GET, HMGET|quote that is not closed"):
        Command.parse(text, VERBS)


@given(st.text("%ucandPtA /xyz", max_size=40), NASTY)
def test_a_value_is_not_filled_in_again(text: str, value: str):
    """Against the naive reading: one pass from the left."""
    filled, at = "", 0
    while at < len(text):
        long = text[at:at + 3] in RENAMED and not text[at + 3:at + 4].isalnum()
        if long or text[at:at + 2] in MEANING:
            filled, at = filled + f"<{value}>", at + 2 + long
        else:
            filled, at = filled + text[at], at + 1
    assert Template.parse(text).fill(dict.fromkeys([*MEANING, *RENAMED], value), lambda one: f"<{one}>") == filled
