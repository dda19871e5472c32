"""`python -m gateway.cli`: the `agora` command, for the processes that it starts itself."""

from . import main

main()
