"""SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side: no bytes of MQTT, no store, no clock."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import stringprep
import unicodedata
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass

ITERATIONS = 4096
SALT_LENGTH = 16
# Both messages of a client, in bytes. They come before anybody is known, and each is looked at on the loop.
LONGEST_MESSAGE = 2048
# Characters of a name or a password, as typed and as prepared: SASLprep takes microseconds for each of them, and the
# square of their number where combining marks have to be sorted.
LONGEST_TEXT = 256


class ScramError(Exception):
    """The client's message cannot be parsed, or does not prove that it knows the password."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """What is kept of a password (RFC 5802, section 3)."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


@dataclass(frozen=True, slots=True)
class FirstMessage:
    """The client's first message, taken apart; `bare` is what is signed of it."""

    username: str
    nonce: str
    gs2_header: str
    bare: str


def verifier_of(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> Verifier:
    """Takes milliseconds. Raises ValueError for a password that SASLprep forbids."""
    salt = salt or secrets.token_bytes(SALT_LENGTH)
    salted = hashlib.pbkdf2_hmac("sha256", saslprep(password).encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return Verifier(salt, iterations, hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256"))


class Exchange:
    """One authentication: `first` takes the client's first message, `final` its second.

    `verifier` is that of the user `first` names; for a name nobody has, a made-up one, so that the exchange goes on to
    its end all the same.
    """

    def __init__(self, first: FirstMessage, verifier: Verifier, nonce: str | None = None) -> None:
        self._first = first
        self._verifier = verifier
        self._nonce = first.nonce + (nonce or secrets.token_urlsafe(18))

    def challenge(self) -> bytes:
        """The server's first message."""
        salt = b64encode(self._verifier.salt).decode()
        return f"r={self._nonce},s={salt},i={self._verifier.iterations}".encode()

    def final(self, message: bytes) -> bytes:
        """The server's proof for the client's; raises ScramError."""
        text = decoded(message)
        without_proof, separator, proof = text.rpartition(",p=")
        fields = without_proof.split(",")
        if not separator or len(fields) < 2:
            raise ScramError("no proof")
        if field(fields[0], "c") != b64encode(self._first.gs2_header.encode()).decode():
            raise ScramError("another channel binding than before")
        if not hmac.compare_digest(field(fields[1], "r").encode(), self._nonce.encode()):
            raise ScramError("another nonce than ours")
        auth_message = f"{self._first.bare},{self.challenge().decode()},{without_proof}".encode()
        signature = hmac.digest(self._verifier.stored_key, auth_message, "sha256")
        client_key = bytes(a ^ b for a, b in zip(from_base64(proof, len(signature)), signature, strict=True))
        if not hmac.compare_digest(hashlib.sha256(client_key).digest(), self._verifier.stored_key):
            raise ScramError("wrong password")
        return b"v=" + b64encode(hmac.digest(self._verifier.server_key, auth_message, "sha256"))


def read_first(message: bytes) -> FirstMessage:
    """`gs2-header client-first-message-bare`; raises ScramError."""
    parts = decoded(message).split(",", 2)
    if len(parts) != 3:
        raise ScramError("not a client-first-message")
    binding, authzid, bare = parts
    if binding not in ("n", "y"):  # "p=…": no channel binding is offered
        raise ScramError("channel binding is not supported")
    fields = bare.split(",")
    if len(fields) < 2:
        raise ScramError("no nonce")
    username = name_of(field(fields[0], "n"))  # "m=…" in its place is an extension we would have to know
    if authzid and name_of(field(authzid, "a")) != username:
        raise ScramError("acting for another user is not supported")
    nonce = field(fields[1], "r")
    if not nonce or not all("!" <= letter <= "~" for letter in nonce):
        raise ScramError("not a nonce")
    return FirstMessage(username, nonce, f"{binding},{authzid},", bare)


def decoded(message: bytes) -> str:
    """The text of a message. Raises ScramError."""
    if len(message) > LONGEST_MESSAGE:
        raise ScramError(f"longer than {LONGEST_MESSAGE} bytes")
    try:
        text = message.decode()
    except UnicodeDecodeError:
        raise ScramError("not UTF-8") from None
    if "\0" in text:
        raise ScramError("contains NUL")
    return text


def field(text: str, name: str) -> str:
    """The value of the attribute that the text begins with. Raises ScramError for another one."""
    if not text.startswith(f"{name}="):
        raise ScramError(f"no attribute {name}")
    return text[2:]


def name_of(encoded: str) -> str:
    """A `saslname`: comma and equals sign are written =2C and =3D."""
    pieces = encoded.split("=")
    if not encoded or any(piece[:2] not in ("2C", "3D") for piece in pieces[1:]):
        raise ScramError("not a user name")
    try:
        return saslprep(encoded.replace("=2C", ",").replace("=3D", "="))
    except ValueError as error:
        raise ScramError(str(error)) from None


def from_base64(text: str, length: int) -> bytes:
    """Raises ScramError when it is not base64 of `length` bytes."""
    try:
        data = b64decode(text, validate=True)
    except (NotBase64, ValueError):
        raise ScramError("not base64") from None
    if len(data) != length:
        raise ScramError("a proof of the wrong length")
    return data


PROHIBITED = (
    stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4,
    stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8,
    stringprep.in_table_c9, stringprep.in_table_a1,
)


def saslprep(text: str) -> str:
    """RFC 4013: equal names and passwords look equal whatever they were typed with. Raises ValueError for what it
    forbids, and for more than LONGEST_TEXT characters."""
    check_length(text)
    if text.isascii() and text.isprintable() and text:
        return text  # nothing of it is mapped or prohibited
    mapped = "".join(" " if stringprep.in_table_c12(letter) else letter for letter in text
                     if not stringprep.in_table_b1(letter))
    prepared = unicodedata.normalize("NFKC", mapped)
    check_length(prepared)  # a ligature may become eighteen letters
    if not prepared:
        raise ValueError("nothing is left of it by SASLprep")
    if any(prohibited(letter) for letter in prepared for prohibited in PROHIBITED):
        raise ValueError("contains a character that SASLprep forbids")
    if any(map(stringprep.in_table_d1, prepared)):  # right to left: all of it, from end to end
        ends = stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1])
        if not ends or any(map(stringprep.in_table_d2, prepared)):
            raise ValueError("mixes directions of writing")
    return prepared


def check_length(text: str) -> None:
    """Raises ValueError for a user name or password that is too long."""
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"has more than {LONGEST_TEXT} characters")
