"""Topic matching as section 4.7 tells it, one list of levels against another, and topics to try it on."""

from hypothesis import strategies as st


def matches(topic_filter: str, topic: str) -> bool:
    if topic.startswith("$") and topic_filter[0] in "+#":
        return False
    return levels_match(topic_filter.split("/"), topic.split("/"))


def levels_match(wanted: list[str], levels: list[str]) -> bool:
    if wanted == ["#"]:
        return True
    if not wanted or not levels:
        return wanted == levels
    return wanted[0] in ("+", levels[0]) and levels_match(wanted[1:], levels[1:])


# Few and short levels, so that filters overlap and share their paths; the long ones lie outside the nodes of the trie.
LEVELS = ["a", "b", "", "$", "$x", "ö", "a level of thirty-one characters", "l" * 300]

names = st.lists(st.sampled_from(LEVELS), min_size=1, max_size=5).map("/".join).filter(bool)
filters = st.tuples(
    st.lists(st.sampled_from([*LEVELS, "+", "+"]), min_size=0, max_size=5), st.sampled_from([[], [], ["#"]]),
).map(lambda parts: "/".join(parts[0] + parts[1])).filter(bool)
