"""`python -m sync.sandbox`: the sandbox as a program of its own."""

from sync.sandbox.command import main

if __name__ == "__main__":
    main()
