"""`python -m chatstore` is the `chatstore` command."""

from chatstore.cli import main

main(prog_name="chatstore")
