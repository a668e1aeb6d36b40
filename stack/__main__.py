"""`python -m stack`: the command line."""

from stack.cli import main

main()
