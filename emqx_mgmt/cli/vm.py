"""`emqx-mgmt vm`: the broker's process and its machine, in the words of `emqx_ctl vm`."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control, asks
from emqx_mgmt.cli.output import Output

# The name in `emqx_ctl`, and the member of GET /nodes/:node.
LOAD = {"cpu/load1": "load1", "cpu/load5": "load5", "cpu/load15": "load15"}
MEMORY = {"memory/total": "memory_total", "memory/used": "memory_used"}
PROCESS = {"process/limit": "process_available", "process/count": "process_used"}
# Statistics that EMQ X does not have.
DISK = {"disk/free": "disk/free", "disk/total": "disk/total"}
FILES = {"io/active_fds": "descriptors/open"}


@click.group(invoke_without_command=True)
@click.pass_context
def vm(ctx: click.Context) -> None:
    """The broker's process and its machine."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(everything)


def section(name: str, text: str, members: dict[str, str], figures: dict[str, str] | None = None) -> click.Command:
    """A command that prints members of the node's row and of its statistics."""

    @vm.command(name, help=text)
    @asks
    def command(broker: Control, out: Output) -> None:
        node = broker.node
        row = broker.call("GET", "nodes", node)
        shown = {name: row[member] for name, member in members.items()}
        if figures:
            stats = broker.call("GET", "nodes", node, "stats", query={"_fields": "extended"})
            shown |= {name: stats[figure] for name, figure in figures.items()}
        out.members(shown)

    assert isinstance(command, click.Command)
    return command


everything = section("all", "Show all of them.", LOAD | MEMORY | PROCESS | {"io/max_fds": "max_fds"}, FILES | DISK)
section("load", "Show the machine's load averages.", LOAD)
section("memory", "Show the bytes that the process uses, and its limit.", MEMORY)
section("process", "Show the number of threads of the process, and its limit.", PROCESS)
section("io", "Show open file descriptors, their limit, and the data directory's disk in bytes.",
        {"io/max_fds": "max_fds"}, FILES | DISK)
