"""How long a request line may be."""

from gunicorn.http import message

# A client id and a topic have up to 65,535 bytes each, three times that when all of them are escaped.
LONGEST_REQUEST_LINE = 400_000

# gunicorn takes no more than this from its own setting.
message.MAX_REQUEST_LINE = LONGEST_REQUEST_LINE
