"""`python -m makiba`: the same as the command `makiba`, with the Python that runs this."""

from makiba.cli import main

main()
