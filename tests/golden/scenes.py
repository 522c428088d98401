"""The golden files: the name of each, and what makes its text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import click

from state.ledger import Ledger
from sync.cli import PROGRAM, main
from sync.events import EVENTS
from tests.docs.test_operation import families
from tests.golden.transcript import Transcript
from tests.golden.world import World, bring_trouble, empty_world, fill, leave_nothing_to_send

LOOKING = """
status
status --json
status --exit-code --stream erp.people
status --exit-code --stream erp.offices --workspace quiet
doubt list
doubt list --json
doubt show BATCH
doubt show BATCH --json
quarantine list
quarantine list --json
quarantine list --reason refused --limit 1
quarantine show erp.companies:16
quarantine show erp.companies:17 --json
held list
held list --json
held show erp.companies:18
drift list
drift list --json
drift list --csv
drift show erp.companies:2
drift show erp.companies:2 --json
orphaned list
orphaned list --json
orphaned show erp.companies:3
orphaned show erp.companies:3 --json
preview erp.companies -n 2
preview erp.people --json
preview erp.companies --id 17
discover erp
discover erp companies
discover erp companies --json
check --file
check --file --json
check --stream erp.companies
ledger verify
ledger verify --json
"""

ON_A_TERMINAL = """
status
doubt list
quarantine list
held list
drift list
orphaned list
discover erp companies
"""

SETTLING = """
doubt resolve BATCH --landed --by Ann --yes
doubt resolve BATCH --absent --by Ann --yes --json
doubt resolve BATCH --landed --record erp.companies:14 --by Ann --yes
quarantine retry --all --yes
quarantine retry --stream erp.companies --id 16 --yes --json
quarantine drop --all --yes
quarantine drop --stream erp.companies --id 16 --id 1 --yes --json
held approve --all --yes
held approve --all --yes --json
held discard --all --yes
held discard --all --yes --json
drift ack --all --yes
drift ack --all --yes --json
drift resend --all --yes
drift resend --all --yes --json
orphaned ack --all --yes
orphaned ack --all --yes --json
reread erp.companies
reread erp.companies --json
reread erp.offices --accept
reread erp.offices --accept --json
ledger backup
ledger rename-stream erp.people erp.people --yes
ledger rebuild --yes
ledger rebuild --yes --json
ledger import --csv there.csv --workspace main --dry-run
ledger import --csv there.csv --workspace main --yes
ledger import --csv there.csv --workspace main --yes --json
init made.toml
send-test --workspace main --yes
send-test --workspace main --yes --json
send-test --workspace main --probe-rejection --yes --json
"""

REFUSED = """
statsu
status --no-such-option
status --stream erp.compnies
doubt show 20260101-000000-aaaaaa
doubt resolve BATCH
doubt resolve BATCH --landed
quarantine drop
quarantine drop --all --stream erp.companies
held approve --all
drift show 7
drift list --csv --json
orphaned ack --stream erp.companies --id 1 --yes
preview erp.nothing
preview old.accounts
discover nowhere
reread erp.nothing
poke
poke erp.nothing
ledger rename-stream erp.people erp.nothing --yes
ledger create
init config.toml
paths --dry-run
"""

WITHOUT_A_LEDGER = """
status
doubt list
doubt list --json
quarantine list
held list --json
preview erp.companies
ledger verify
ledger backup
check --file
"""

BROKEN = """
status
check
check --file --json
once
run
"""

THERE = "Name,E-mail\nFirm 14,f14@corp.example\nElse,else@corp.example\nNobody,\n"


def golden_files() -> Mapping[str, str]:
    """Return the text of every golden file by its name."""
    with empty_world() as world:
        bare = _without_a_ledger(world)
        fill(world)
        (world.folder / "there.csv").write_text(THERE, encoding="utf-8")
        world.keep()
        looking, screen = _each(world, LOOKING), _each(world, ON_A_TERMINAL, screen=True)
        settling, refused = _each(world, SETTLING, fresh=True), _each(world, REFUSED)
        rounds, beside, troubled, broken = _full_rounds(world), _beside(world), _troubled(world), _broken(world)
    everything = (bare, looking, settling, rounds, beside, troubled, broken)
    return {
        "help.txt": "\n".join(_help()),
        "looking.txt": str(looking),
        "terminal.txt": str(screen),
        "settling.txt": f"{settling}\n{rounds}",
        "refused.txt": f"{refused}\n{bare}\n{beside}\n{troubled}\n{broken}",
        "json_keys.txt": "".join(_json_keys(everything)),
        "events.txt": "".join(_events()),
        "metrics.txt": "".join(_metrics()),
    }


def _each(world: World, lines: str, *, screen: bool = False, fresh: bool = False) -> Transcript:
    """Run these command lines, one after the other, each in the world as it was kept where it is to be `fresh`."""
    transcript = Transcript()
    for line in lines.split("\n"):
        if line:
            if fresh:
                world.restore()
            transcript.run(world, line, screen=screen)
    world.restore()
    return transcript


def _without_a_ledger(world: World) -> Transcript:
    """Run what looks before the first round, and that round: it finds nothing to send."""
    world.keep()
    transcript = Transcript()
    transcript.title("before the first round")
    for line in filter(None, WITHOUT_A_LEDGER.split("\n")):
        transcript.run(world, line)
    _rounds(world, transcript)
    transcript.run(world, "status --exit-code --stream erp.people")
    world.forget()
    return transcript


def _rounds(world: World, transcript: Transcript) -> None:
    """Run a round, and one more."""
    with world.time_goes_on():
        for line in ("once erp", "once erp --json"):
            transcript.run(world, line)


def _full_rounds(world: World) -> Transcript:
    """Run rounds that settle what was cut off."""
    leave_nothing_to_send(world)
    transcript = Transcript()
    transcript.title("rounds that have nothing to send")
    _rounds(world, transcript)
    world.restore()
    return transcript


def _troubled(world: World) -> Transcript:
    """Run where a daemon met what needs a person, and was killed then."""
    bring_trouble(world)
    transcript = Transcript()
    transcript.title("after a daemon with troubles was killed")
    for line in ("status --exit-code --stream erp.people", "status --stream erp.people --json", "check --file"):
        transcript.run(world, line)
    world.restore()
    return transcript


def _beside(world: World) -> Transcript:
    """Run beside the process that has the ledger."""
    transcript = Transcript()
    transcript.title("beside the daemon")
    with Ledger(world.ledger, own=True) as ledger:
        ledger.incidents.put_in_force(str(world.config), "another one")
        for line in ("status --stream erp.people", "doubt list --limit 1", "once"):
            transcript.run(world, line)
    world.restore()
    return transcript


def _broken(world: World) -> Transcript:
    """Run with a file that cannot be used, and without one."""
    transcript = Transcript()
    transcript.title("with a file that cannot be used")
    text = world.config.read_text(encoding="utf-8")
    world.config.write_text(text.replace('key = "id"', 'kee = "id"', 1).replace("old.db", "old.db?x=1"), "utf-8")
    for line in filter(None, BROKEN.split("\n")):
        transcript.run(world, line)
    transcript.title("without a file")
    world.config.unlink()
    for line in ("status", "once", "run"):
        transcript.run(world, line)
    world.restore()
    return transcript


def _help() -> Iterator[str]:
    # as in a terminal of 80 columns
    yield from _help_of(main, main.context_class(main, info_name=PROGRAM, terminal_width=78, **main.context_settings))


def _help_of(command: click.Command, context: click.Context) -> Iterator[str]:
    # click keeps the option of the first context that asked; elsewhere in this process that may have been a bare one
    command._help_option = None
    yield f"$ {context.command_path} --help\n{command.get_help(context)}\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _help_of(below, below.context_class(below, parent=context, info_name=name))


def _json_keys(transcripts: tuple[Transcript, ...]) -> Iterator[str]:
    found: dict[str, dict[str, None]] = {}
    for transcript in transcripts:
        for command, keys in transcript.keys.items():
            found.setdefault(command, {}).update(keys)
    for command in sorted(found):
        yield f"{command} --json\n" + "".join(f"  {path}\n" for path in sorted(found[command]))


def _events() -> Iterator[str]:
    for name, event in sorted(EVENTS.items()):
        yield f"{name} ({event.level}): {', '.join(event.fields)}\n"


def _metrics() -> Iterator[str]:
    for name, labels in sorted(families().items()):
        yield f"{name}: {', '.join(sorted(labels))}".rstrip(": ") + "\n"
