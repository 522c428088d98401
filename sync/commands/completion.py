"""`closingdealz-sync completion`: prints a shell's completion script for commands and options."""

from __future__ import annotations

from typing import cast

import click
from click.shell_completion import ShellComplete, get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that completes commands and options in SHELL.

    \b
    bash:  closingdealz-sync completion bash > ~/.local/share/bash-completion/completions/closingdealz-sync
    zsh:   closingdealz-sync completion zsh > "${fpath[1]}/_closingdealz-sync"
    fish:  closingdealz-sync completion fish > ~/.config/fish/completions/closingdealz-sync.fish
    """
    program = context.find_root()
    name = str(program.info_name)
    script = cast("type[ShellComplete]", get_completion_class(shell))  # None only for shells other than these three
    click.echo(script(program.command, {}, name, f"_{name}_COMPLETE".replace("-", "_").upper()).source())
