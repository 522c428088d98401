"""The subcommands of `closingdealz-sync`, one module each, imported when they are run."""
