"""`python -m sync.trial.sandbox`: the sandbox as a program of its own."""

from sync.trial.sandbox.command import main

if __name__ == "__main__":
    main()
