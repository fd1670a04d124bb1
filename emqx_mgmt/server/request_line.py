"""The request line: its length, its bytes, and how it is decoded."""

import re

from gunicorn import util
from gunicorn.http import message

from router_ext.net.percent import percent_decoded

# A client id and a topic have up to 65,535 bytes each, three times that when all of them are escaped.
LONGEST_REQUEST_LINE = 400_000

# gunicorn takes no more than this from its own setting.
message.MAX_REQUEST_LINE = LONGEST_REQUEST_LINE
# RFC 9112 wants everything beyond ASCII escaped; EMQ X's server does not, and curl sends a `中` as it was typed.
message.RFC9112_TARGET_INVALID = re.compile(r"[^\x21-\x7e\x80-\xff]")


def decoded_path(path: str) -> str:
    """WSGI's PATH_INFO: one character for each byte."""
    return percent_decoded(path.encode("latin-1")).decode("latin-1")


# gunicorn's own takes a third of a second for a line of nothing but `%`, before anybody is known.
util.unquote_to_wsgi_str = decoded_path
