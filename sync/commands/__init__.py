"""The subcommands of `closingdealz-sync`, imported when they are run."""
