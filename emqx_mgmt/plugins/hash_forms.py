"""Forms of stored passwords (behaviour, 22 "Password hashes"), as the setting `password_hash` names them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import argon2
import bcrypt

from emqx_mgmt.plugins.passwords import BCRYPT_BYTES
from emqx_mgmt.settings.kinds import Kind

# The names of the settings, and those of hashlib.
DIGESTS = {"md5": "md5", "sha": "sha1", "sha256": "sha256", "sha512": "sha512"}
MACS = DIGESTS | {"sha1": "sha1", "sha224": "sha224", "sha384": "sha384"}
MOST_ROUNDS = 10_000_000
MOST_KEY_BYTES = 1024
FORMS = ("plain, md5, sha, sha256, sha512, salt,<digest>, <digest>,salt, bcrypt, salt,bcrypt, "
         "pbkdf2,<mac>,<iterations>,<bytes>, argon2 or mosquitto")

# Whether a password matches a stored hash with its salt.
Matches = Callable[[bytes, str, str], bool]


@dataclass(frozen=True, slots=True)
class HashForm:
    """`matches(password, stored, salt)` verifies a password. `needs_salt`: the back-end must give a salt beside the
    hash. `is_slow`: the hash takes long by design and is computed on a thread. `is_weak`: passwords can be guessed
    quickly from the hashes."""

    text: str
    matches: Matches
    needs_salt: bool = False
    is_slow: bool = False
    is_weak: bool = True


def parse_hash_form(text: str) -> HashForm:
    """Raises ValueError with the end of a sentence."""
    match [word.strip() for word in text.split(",")]:
        case ["plain"]:
            return HashForm(text, _plain)
        case ["bcrypt"]:
            return HashForm(text, _bcrypt, is_slow=True, is_weak=False)
        case ["salt", "bcrypt"]:
            return HashForm(text, _salt_bcrypt, needs_salt=True, is_slow=True, is_weak=False)
        case ["argon2"]:
            return HashForm(text, _argon2, is_slow=True, is_weak=False)
        case ["mosquitto"]:
            return HashForm(text, _mosquitto, is_slow=True, is_weak=False)
        case [name] if name in DIGESTS:
            return HashForm(text, partial(_digest, DIGESTS[name], False, False))
        case ["salt", name] if name in DIGESTS:
            return HashForm(text, partial(_digest, DIGESTS[name], True, False), needs_salt=True)
        case [name, "salt"] if name in DIGESTS:
            return HashForm(text, partial(_digest, DIGESTS[name], False, True), needs_salt=True)
        case ["pbkdf2", mac, rounds, length] if mac in MACS and rounds.isdecimal() and length.isdecimal():
            if 0 < int(rounds) <= MOST_ROUNDS and 0 < int(length) <= MOST_KEY_BYTES:
                return HashForm(text, partial(_pbkdf2, MACS[mac], int(rounds), int(length)), needs_salt=True,
                                is_slow=True, is_weak=False)
    raise ValueError(f"must be {FORMS}")


HASH_FORM = Kind("string", parse_hash_form, lambda form: form.text)


def octets(text: str) -> bytes:
    """The bytes of a column, also where they are not UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def _plain(password: bytes, stored: str, _salt: str) -> bool:
    return hmac.compare_digest(password, octets(stored))


def _digest(name: str, before: bool, behind: bool, password: bytes, stored: str, salt: str) -> bool:
    """`before` and `behind` say whether the salt precedes or follows the password. The case of hex digits does not
    matter."""
    salted = (octets(salt) if before else b"") + password + (octets(salt) if behind else b"")
    return _same_hex(hashlib.new(name, salted).digest(), stored)


def _pbkdf2(mac: str, rounds: int, length: int, password: bytes, stored: str, salt: str) -> bool:
    return _same_hex(hashlib.pbkdf2_hmac(mac, password, octets(salt), rounds, length), stored)


def _bcrypt(password: bytes, stored: str, _salt: str) -> bool:
    """The salt is part of the hash's text."""
    try:
        return bcrypt.checkpw(password[:BCRYPT_BYTES], octets(stored.strip()))
    except ValueError:  # not a hash of bcrypt
        return False


def _salt_bcrypt(password: bytes, stored: str, salt: str) -> bool:
    try:
        return hmac.compare_digest(bcrypt.hashpw(password[:BCRYPT_BYTES], octets(salt.strip())),
                                   octets(stored.strip()))
    except ValueError:
        return False


def _argon2(password: bytes, stored: str, _salt: str) -> bool:
    try:
        return argon2.PasswordHasher().verify(stored.strip(), password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def _mosquitto(password: bytes, stored: str, _salt: str) -> bool:
    """The format of mosquitto_passwd: `$6$<salt>$<SHA-512>`, or `$7$<iterations>$<salt>$<PBKDF2 with SHA-512>`."""
    try:
        match stored.strip().split("$"):
            case ["", "6", salt, digest]:
                made = hashlib.sha512(password + base64.b64decode(salt, validate=True)).digest()
            case ["", "7", rounds, salt, digest] if rounds.isdecimal() and 0 < int(rounds) <= MOST_ROUNDS:
                made = hashlib.pbkdf2_hmac("sha512", password, base64.b64decode(salt, validate=True), int(rounds))
            case _:
                return False
        return hmac.compare_digest(made, base64.b64decode(digest, validate=True))
    except binascii.Error:
        return False


def _same_hex(digest: bytes, stored: str) -> bool:
    return hmac.compare_digest(digest.hex().encode(), octets(stored.strip().lower()))
