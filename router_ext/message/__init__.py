"""Messages, their encodings, and the buffers that hold them."""
