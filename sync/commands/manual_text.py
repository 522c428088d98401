"""The parts of the man page that are not in the commands' own help."""

from __future__ import annotations

EXIT_CODES: dict[int, str] = {
    0: "Done.",
    64: "The command's words are wrong.",
    65: "(once) Something needs a person; (settling) a batch or a record cannot be settled so.",
    70: "A defect of this program.",
    74: "The ledger's disk or file cannot be written: nothing is sent that cannot be remembered.",
    75: "Try again later: a source or ClosingDealz does not answer, or another process holds the ledger.",
    77: "Credentials, permissions, the plan, a table or a column are refused: a person must act.",
    78: "The configuration, a secret, or a ledger that does not belong to it. The service is not restarted.",
    130: "A second signal ended it: what was on the wire is in doubt at the next start.",
}

AFTER: dict[str, str | dict[str, str]] = {
    "Signals": {
        "SIGTERM, SIGINT": "run ends once what is in flight is answered; the same signal again leaves it in doubt.",
        "SIGHUP": "run reads the configuration anew; a file that cannot be used is refused and the old one stays.",
    },
    "Environment": {
        "CLOSINGDEALZ_SYNC_CONFIG": "The configuration file, where -c is not given.",
        "CLOSINGDEALZ_SYNC_DEBUG": "Show where in the program an error arose, as --debug does.",
        "CONFIGURATION_DIRECTORY, STATE_DIRECTORY, CREDENTIALS_DIRECTORY": "Set by systemd: where config.toml, a "
        "relative ledger and secrets named by { credential = ... } are looked for.",
        "NOTIFY_SOCKET, WATCHDOG_USEC": "Set by systemd: where run says that it is ready, and how often that it works.",
        "JOURNAL_STREAM": "Set by systemd: lines of the log then begin with their priority.",
    },
    "Files": {
        "/etc/closingdealz-sync/config.toml": "The configuration.",
        "/etc/closingdealz-sync/credentials/": "Secrets, one a file, readable by root alone.",
        "/var/lib/closingdealz-sync/": "The ledger with its key, its receipts and its copies.",
        "/etc/closingdealz-sync/NAME/, /var/lib/closingdealz-sync/NAME/": "The same of the instance "
        "closingdealz-sync@NAME.",
        "/usr/local/share/doc/closingdealz-sync/": "Every option explained, and drop-ins for the unit.",
    },
    "As root": "The command that the installation puts into /usr/local/bin runs, for root, as the service does: in the "
    "sandbox of its unit with all drop-ins, with its user, configuration, ledger and secrets. "
    "Before the command's name, @NAME stands for an instance.",
    "See also": "closingdealz-sync docs, systemctl(1), journalctl(1), systemd.exec(5), systemd-creds(1)",
}
