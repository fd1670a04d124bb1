"""Password hashes by the schemes of EMQ X's authentication plugins, and argon2."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import argon2
import bcrypt

SALT_BYTES = 16
PBKDF2_ROUNDS = 210_000
BCRYPT_BYTES = 72  # bcrypt ignores the rest of a password, and its library refuses longer ones


@dataclass(frozen=True, slots=True)
class Hash:
    """A stored password: `text` is the digest in hex, or the scheme's own notation, which includes the salt."""

    scheme: str
    salt: str
    text: str


def digest(name: str) -> Callable[[bytes, str], str]:
    """hash(salt ‖ password), EMQ X's format."""
    return lambda password, salt: hashlib.new(name, salt.encode() + password).hexdigest()


def pbkdf2(password: bytes, salt: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", password, salt.encode(), PBKDF2_ROUNDS).hex()


SALTED: dict[str, Callable[[bytes, str], str]] = {
    "md5": digest("md5"),
    "sha": digest("sha1"),
    "sha256": digest("sha256"),
    "pbkdf2": pbkdf2,
}
SCHEMES = ("plain", *SALTED, "bcrypt", "argon2")
# Slow by design, so computed on a thread.
SLOW = frozenset({"pbkdf2", "bcrypt", "argon2"})

_argon2 = argon2.PasswordHasher()


def hashed(password: bytes, scheme: str) -> Hash:
    if scheme == "plain":
        return Hash(scheme, "", password.decode())
    if scheme == "bcrypt":
        return Hash(scheme, "", bcrypt.hashpw(password[:BCRYPT_BYTES], bcrypt.gensalt()).decode())
    if scheme == "argon2":
        return Hash(scheme, "", _argon2.hash(password))
    salt = secrets.token_hex(SALT_BYTES)
    return Hash(scheme, salt, SALTED[scheme](password, salt))


def matches(password: bytes, stored: Hash) -> bool:
    if stored.scheme == "plain":
        return hmac.compare_digest(password, stored.text.encode())
    if stored.scheme == "bcrypt":
        return bcrypt.checkpw(password[:BCRYPT_BYTES], stored.text.encode())
    if stored.scheme == "argon2":
        try:
            return _argon2.verify(stored.text, password)
        except argon2.exceptions.VerificationError:
            return False
    return hmac.compare_digest(SALTED[stored.scheme](password, stored.salt), stored.text)
