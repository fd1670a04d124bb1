"""`emqx-mgmt check`: the faults of the configuration."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from emqx_mgmt.cli.configured import CONFIG, use
from emqx_mgmt.cli.output import JSON, Output

if TYPE_CHECKING:
    from emqx_mgmt.listeners import Listener
    from emqx_mgmt.plugins.catalogue import Catalogue
    from emqx_mgmt.settings import Settings


@click.command()
@JSON
@CONFIG
def check(config: str | None, as_json: bool) -> None:
    """Read the configuration as a start does, and print each fault with its file and line, or its variable: settings,
    access rules, TLS files, and the plugins' own files. Nothing is started or written. The exit code is 78 where there
    is a fault."""
    from emqx_mgmt.settings import SettingsError, read

    use(config)
    try:
        settings = read()
    except SettingsError as error:
        found = list(error.complaints)
    else:
        found = list(dict.fromkeys(faults(settings)))
    if as_json:
        Output(as_json).listing(found)
    else:
        for fault in found:
            click.echo(fault, err=True)
        if not found:
            click.echo(f"No fault in {settings.file or 'the defaults: there is no configuration file'}")
    if found:
        sys.exit(os.EX_CONFIG)


def faults(settings: Settings) -> Iterator[str]:
    from emqx_mgmt.listeners import declared

    yield from settings.complaints
    try:
        listeners = declared(settings)
    except ValueError as error:     # faults that only the listeners find
        yield str(error)
        listeners = []
    yield from shared_addresses(settings, listeners)
    for listener in listeners:
        yield from faulty_tls(settings, listener)
    yield from faulty_plugins(settings)


def shared_addresses(settings: Settings, listeners: list[Listener]) -> Iterator[str]:
    """Listeners that have the port of another one, unless both name different addresses."""
    for position, listener in enumerate(listeners):
        for before in listeners[:position]:
            one, other = listener.endpoint, before.endpoint
            if one.port == other.port and one.port and (one.host == other.host or "" in (one.host, other.host)):
                yield f"{place_of(settings, listener)}: {listener} has the port of {before}"


def faulty_tls(settings: Settings, listener: Listener) -> Iterator[str]:
    from emqx_mgmt.listeners.certificate import development_directory
    from router_ext.net.tls import TlsError

    if listener.tls is None:
        return
    made = development_directory(Path(settings["node.data_dir"])) / "cert.pem"
    if listener.tls.certfile == str(made) and not made.exists():
        return  # the first start creates it
    try:
        if listener.is_https:
            listener.tls.http_context()
        else:
            listener.tls.context()
    except (TlsError, OSError, ValueError) as error:
        yield f"{place_of(settings, listener, 'certfile')}: {listener}: {error}"


def place_of(settings: Settings, listener: Listener, option: str = "") -> str:
    """The place where the option is set, or else the place of the listener's own setting."""
    kind, _, what = listener.protocol.partition(":")
    key = f"listener.{what}.{listener.name}" if listener.is_mqtt else f"{what}.listener.{kind}"
    exact = f"{key}.{option}"
    return settings.origin(exact if option and settings.is_set(exact) else key)


def faulty_plugins(settings: Settings) -> Iterator[str]:
    from emqx_mgmt.plugins.catalogue import Catalogue

    catalogue = Catalogue()
    known = {plugin.name for plugin in catalogue.all()}
    for name in settings["plugins.loaded"]:
        if name not in known and catalogue.decides(name):
            yield f"{settings.origin('plugins.loaded')}: plugins.loaded names {name}: {catalogue.absence(name)}"
    yield from faulty_files(settings, catalogue)


def faulty_files(settings: Settings, catalogue: Catalogue) -> Iterator[str]:
    """The faults in the files of all plugins, loaded or not."""
    from emqx_mgmt.plugins.config import Config, ConfigError

    etc_dir = Path(settings["plugins.etc_dir"])
    for plugin in catalogue.all():
        file = etc_dir / f"{plugin.name}.conf"
        try:
            Config(plugin.settings, file, os.environ, {}, False, settings.place)
        except ConfigError as error:
            yield from error.complaints
        except UnicodeDecodeError:
            yield f"{file}: is not UTF-8 text"
        except OSError as error:
            yield f"{file}: cannot be read: {error.strerror}"
