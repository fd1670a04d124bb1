"""Percent-encoding as the standard library decodes it (RFC 3986, section 2.1)."""

from urllib.parse import unquote_to_bytes

from hypothesis import given
from hypothesis import strategies as st

from router_ext.net.percent import percent_decoded


@given(st.text(alphabet="%0aFg/é").map(str.encode) | st.binary())
def test_decodes_as_the_standard_library_does(text):
    assert percent_decoded(text) == unquote_to_bytes(text)
