"""Stored passwords as other programs write them (behaviour, 22 "Password hashes")."""

from __future__ import annotations

import pytest

from emqx_mgmt.plugins.hash_forms import parse_hash_form

# The hashes of "secret", and their salts. openssl dgst and openssl kdf made the digests and PBKDF2, mosquitto_passwd
# the two lines of mosquitto, crypt() of PostgreSQL $2a$, and the C library's crypt $2b$.
VECTORS = [
    ("plain", "secret", ""),
    ("md5", "5ebe2294ecd0e0f08eab7690d2a6ee69", ""),
    ("sha", "e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4", ""),
    ("sha256", "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", ""),
    ("sha512", "bd2b1aaf7ef4f09be9f52ce2d8d599674d81aa9d6a4421696dc4d93dd0619d682ce56b4d64a9ef097761ced99e0f67265b5f760"
               "85e5b0ee7ca4696b2ad6fe2b2", ""),
    ("salt,md5", "d42a0f742ffc1be4e1cc0845c2429c97", "salt"),
    ("md5,salt", "99cd2e5a95d555ee7be3b038a4a84625", "salt"),
    ("salt,sha", "da00ec2e6ff9ed4d342b24a16e262c82f3c8b10b", "salt"),
    ("sha,salt", "8152bc582f58c854f580cb101d3182813dec4afe", "salt"),
    ("salt,sha256", "bede90386d450cea8b77b822f8887065e4e5abf132c2f9dccfcc7fbd4cba5e35", "salt"),
    ("sha256,salt", "F84FA2149DBB62ED4E0CF1F550D2949B33A6513D3A7707E08502511C79CCB0EE", "salt"),
    ("salt,sha512", "9901847ff8c76bd5fb473b7bd2e4f4ddd110332a52a888fd69deb276613885ddf382e5cf1210ed0decdb8010ae3994331a"
                    "9e0639c3ca7e9e8b110dd50978ce76", "salt"),
    ("sha512,salt", "138f75cab47d01d0a813badb38f612dc46604ae669544eb9003f71928d3cb3a7e5a0d7ac63f6697bdccc56f2e2c784b61"
                    "6241227df5122436f847a2634ef6e2f", "salt"),
    ("pbkdf2,sha256,1000,32", "a8df899f3c4f204d967e0ad63c092987c10055ebb017b3d9d28add218d4f7aad", "salt"),
    ("pbkdf2,sha,1000,20", "FA7BAB9EFF3A06A5271CCFB9B6D8728D0C7A334D", "salt"),
    ("mosquitto", "$7$101$7VpEUPPHx7Qgeo4t$myy++7TTFdCFdj3uMxG6oxM+4UDRmVXjhy/8YIaUIL4n4hyVOrvKGiNgWJwkK2qzHwYvf7A/8fQZ"
                  "0DEf2DiTqQ==", ""),
    ("mosquitto", "$6$CG74ezai+tPfLNtl$sH7pD7XD3v1+ImA3uD7W2yO5gHox+otPJvh2vjpXMMYI/Ojky3rfSnRP+irodYOe0yVnxPD6xGud5Ja"
                  "VnzNODw==", ""),
    ("bcrypt", "$2a$05$qc0UX4IyVGbEeIftz6/jw.FRlA3yfxW6XfqEyobQsB/8bb5Rulcl.", ""),
    ("bcrypt", "$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a", ""),
    ("salt,bcrypt", "$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a", "$2b$05$abcdefghijklmnopqrstuu"),
]
IDS = [f"{form}-{number}" for number, (form, _, _) in enumerate(VECTORS)]


@pytest.mark.parametrize(("form", "stored", "salt"), VECTORS, ids=IDS)
def test_vectors_of_other_programs(form: str, stored: str, salt: str):
    matches = parse_hash_form(form).matches
    assert matches(b"secret", stored, salt)
    assert matches(b"secret", stored + "   " if form != "plain" else stored, salt)  # a column of a fixed width
    for wrong in (b"Secret", b"", b"\0secret", b"secret ", b"\xff\xfe", b"s" * 65535, stored.encode()):
        assert matches(wrong, stored, salt) is (form == "plain" and wrong == stored.encode())
    for damaged in (stored[:-1], "", "\udcff\udcfe", "$2b$10$", "$6$", "$7$x$y$z", "$argon2id$"):
        assert not matches(b"secret", damaged, salt)


def test_argon2():
    """The example of the reference implementation's README."""
    stored = "$argon2i$v=19$m=65536,t=2,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG"
    assert parse_hash_form("argon2").matches(b"password", stored, "")
    assert not parse_hash_form("argon2").matches(b"passwort", stored, "")


@pytest.mark.parametrize(("form", "stored", "salt"), [vector for vector in VECTORS if vector[2]])
def test_another_salt_is_another_hash(form: str, stored: str, salt: str):
    assert parse_hash_form(form).needs_salt
    assert not parse_hash_form(form).matches(b"secret", stored, salt[:-2] + "e.")


@pytest.mark.parametrize("form", ["", "sha3", "bcrypt,salt", "pbkdf2", "pbkdf2,sha256", "pbkdf2,sha256,0,32", "salt",
                                  "pbkdf2,crc,1000,32", "pbkdf2,sha256,1000,0", "pbkdf2,sha256,99999999999,32",
                                  "salt,sha256,salt", "md5,md5"])
def test_a_form_that_is_none_is_refused(form: str):
    with pytest.raises(ValueError, match="must be"):
        parse_hash_form(form)


def test_forms_that_protect_nothing_are_known():
    assert [form for form in ("plain", "sha256", "salt,sha512", "bcrypt", "pbkdf2,sha256,1000,32", "argon2")
            if parse_hash_form(form).is_weak] == ["plain", "sha256", "salt,sha512"]
