"""Topic names and filters: section 4.7 of both specifications, section 1.5.4 of MQTT 5.0."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router_ext.protocol.topic import levels, split_share, topic_matches, valid_filter, valid_name
from tests.core import naive

LONGEST = 65535
paths = st.text(alphabet=st.sampled_from("ab+#/$\0é€🦉"), max_size=24)


def is_mqtt_string(raw: bytes) -> bool:
    try:
        return "\0" not in raw.decode()
    except UnicodeDecodeError:
        return False


@given(st.binary(min_size=1, max_size=40) | st.text(min_size=1, max_size=20).map(lambda s: s.encode()))
@example(b"\xed\xa0\x80")            # a surrogate [MQTT-1.5.4-1]
@example(b"abcdefgh\0ijklmno")       # U+0000 [MQTT-1.5.4-2]
@example(b"\xef\xbb\xbfabc")         # U+FEFF is a character like any other [MQTT-1.5.4-3]
@example(b"\xc0\x80")                # overlong
@example(b"\xf4\x90\x80\x80")        # above U+10FFFF
@example(b"1234567\xe2\x82\xac89")   # a character across the border of two words
def test_strings_are_well_formed_mqtt_1_5_4(raw):
    wild = b"+" in raw or b"#" in raw
    assert valid_name(raw) == (is_mqtt_string(raw) and not wild)
    if not wild:
        assert valid_filter(raw) == is_mqtt_string(raw)


@pytest.mark.parametrize("text", ["topic/ö/€/🦉/end", "12345678", "\U0010ffff\ud7ff\ue000"])
def test_a_prefix_that_cuts_a_character_is_refused(text):
    raw = text.encode("utf-8", "surrogatepass")
    for end in range(1, len(raw) + 1):
        assert valid_name(raw[:end]) == is_mqtt_string(raw[:end])


def test_lone_surrogates_in_python_strings_are_refused():
    assert not valid_name("a\ud800")
    assert not valid_filter("a\udfff")
    assert not topic_matches("#", "a\ud800")


@given(paths)
def test_filters_hold_wildcards_in_their_places_mqtt_4_7_1(path):
    parts = path.split("/")
    good = bool(path) and "\0" not in path and all(
        not ("+" in part or "#" in part) or part == "+" or (part == "#" and i == len(parts) - 1)
        for i, part in enumerate(parts))
    assert valid_filter(path) == good
    assert valid_filter(path.encode()) == good
    assert valid_name(path) == (bool(path) and not set(path) & set("\0+#"))


@pytest.mark.parametrize("check", [valid_name, valid_filter])
def test_length_is_1_to_65535_bytes_mqtt_4_7_3(check):
    assert not check("")
    assert check("/")
    assert check("x" * LONGEST)
    assert not check("x" * (LONGEST + 1))


@pytest.mark.parametrize(("topic_filter", "topic"), [
    ("sport/#", "sport"), ("sport/#", "sport/"), ("sport/#", "sport/a/b"), ("#", "/"), ("#", "a"), ("+", "a"),
    ("+/+", "/finance"), ("/+", "/finance"), ("a/+/b", "a//b"), ("a/+", "a/"), ("+/#", "a"), ("a/+/#", "a/b"),
    ("$SYS/#", "$SYS/broker"), ("$SYS/+", "$SYS/"), ("a/+", "a/$b"), ("//", "//"), ("+/+/+", "//"),
])
def test_matches_mqtt_4_7(topic_filter, topic):
    assert topic_matches(topic_filter, topic)
    assert topic_matches(topic_filter.encode(), topic.encode())


@pytest.mark.parametrize(("topic_filter", "topic"), [
    ("+", "/finance"), ("a", "a/"), ("a/", "a"), ("a", "A"), ("sport/+", "sport"), ("a/#", "ab"), ("a/+/#", "a"),
    ("a/b", "a"), ("a", "a/b"), ("/", "//"),
    # a wildcard in the first level leaves out what begins with $ [MQTT-4.7.2-1]
    ("#", "$SYS/a"), ("+/a", "$SYS/a"), ("+", "$"), ("+/#", "$x"),
])
def test_does_not_match_mqtt_4_7(topic_filter, topic):
    assert not topic_matches(topic_filter, topic)


@given(naive.filters, naive.names)
def test_matches_as_the_text_says(topic_filter, topic):
    assert topic_matches(topic_filter, topic) == naive.matches(topic_filter, topic)


def test_levels_counts_the_empty_ones():
    assert [levels(t) for t in ("a", "/", "a//b", b"a/b")] == [1, 2, 3, 2]


@pytest.mark.parametrize(("given_filter", "group", "inner"), [
    ("a/b", None, "a/b"), ("$share", None, "$share"), ("$queue", None, "$queue"), ("$shared/g/t", None, "$shared/g/t"),
    ("$share/g/t", "g", "t"), ("$share/g//t", "g", "/t"), ("$share/g/+/#", "g", "+/#"),
    ("$share/g/$SYS/x", "g", "$SYS/x"), ("$queue/t/+", "$queue", "t/+"),
])
def test_shared_filters_name_their_group_mqtt_4_8_2(given_filter, group, inner):
    assert split_share(given_filter) == (group, inner)


@pytest.mark.parametrize("bad", [
    "$share/", "$share//t", "$share/g", "$share/g/", "$share/+/t", "$share/g#/t", "$share/a+b/t", "$queue/",
    "$share/g/$share/h/t", "$share/g/$queue/t", "$queue/$share/g/t", "$queue/$queue/t",
])
def test_bad_shared_filters_are_refused_mqtt_4_8_2(bad):
    with pytest.raises(ValueError, match="shared"):
        split_share(bad)
