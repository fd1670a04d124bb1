"""TLS to a back-end: the certificate authority to trust, and the certificate to show."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from emqx_mgmt.plugins.config import Config
from emqx_mgmt.settings import Key
from emqx_mgmt.settings.kinds import PATH, STRING, Kind, parse_flag, show_flag

CERTIFICATE, KEY = "certfile", "keyfile"
AUTHORITY = ("cafile", "cacertfile")
# Erlang's names, which some of EMQ X's files have.
VERIFY_WORDS = {"verify_peer": True, "verify_none": False}
NO_EFFECT = "Known, and without effect here."


def parse_verify(text: str) -> bool:
    return VERIFY_WORDS[text] if text in VERIFY_WORDS else parse_flag(text)


VERIFY = Kind("flag", parse_verify, show_flag)


def tls_settings(prefix: str) -> tuple[Key, ...]:
    return (
        Key(f"{prefix}.cafile", PATH, "", "Who signed the back-end's certificate, in PEM; empty: the system's own."),
        Key(f"{prefix}.cacertfile", PATH, "", "The same, as later versions of EMQ X name it."),
        Key(f"{prefix}.certfile", PATH, "", "The certificate to show, in PEM; empty: none."),
        Key(f"{prefix}.keyfile", PATH, "", "Its key, in PEM."),
        Key(f"{prefix}.verify", VERIFY, "on", "Refuse a back-end whose certificate is not good for its name; "
            "verify_peer is on, and verify_none off."),
        *(Key(f"{prefix}.{word}", STRING, "", NO_EFFECT, inert=True)
          for word in ("fail_if_no_peer_cert", "server_name_indication", "tls_versions", "ciphers")),
    )


def renamed_tls_settings(prefix: str) -> tuple[Key, ...]:
    """The settings of TLS files under another prefix, which some versions of EMQ X use."""
    return tuple(Key(f"{prefix}.{word}", PATH, "", f"As {meaning}, in some versions of EMQ X.")
                 for word, meaning in (("cacertfile", "cafile"), (CERTIFICATE, CERTIFICATE), (KEY, KEY)))


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of TLS files. An empty one means no file; for the authorities, the system's."""

    authority: str
    certificate: str
    key: str

    @classmethod
    def of(cls, settings: Config, *prefixes: str) -> TlsFiles:
        """The files of the settings. Where several prefixes name one, the first is used."""
        def first(*words: str) -> str:
            names = (f"{prefix}.{word}" for prefix in prefixes for word in words)
            return next((settings[name] for name in names if settings.find(name) and settings[name]), "")

        return cls(first(*AUTHORITY), first(CERTIFICATE), first(KEY))


def client_context(settings: Config, prefix: str) -> ssl.SSLContext:
    """One context for all connections. Raises ValueError, as a sentence, for files that cannot be used."""
    files, system = TlsFiles.of(settings, prefix), ssl.get_default_verify_paths()
    paths = (files.authority, files.certificate, files.key) if files.authority else (
        system.cafile, system.capath, files.certificate, files.key)
    return _context(files, bool(settings[f"{prefix}.verify"]), tuple(map(_changed_at, paths)), prefix)


def _changed_at(path: str | None) -> int:
    """When the file last changed; 0 for none."""
    try:
        return Path(path).stat().st_mtime_ns if path else 0
    except OSError:
        return 0


@lru_cache(maxsize=16)
def _context(files: TlsFiles, verify: bool, changed_at: tuple[int, ...], prefix: str) -> ssl.SSLContext:
    """Kept: one takes most of a megabyte for the system's authorities, and 20 ms. A plugin that was unloaded would hold
    its own until the collector comes. `changed_at`: of the files, which are read again when they change."""
    try:
        context = ssl.create_default_context(cafile=files.authority or None)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"{prefix}.cafile ({files.authority}) cannot be used: {error}") from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if files.certificate:
        try:
            context.load_cert_chain(files.certificate, files.key or None)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"{prefix}.certfile and .keyfile cannot be used: {error}") from None
    return context
