"""What a command says where it cannot be carried out."""


class CommandError(Exception):
    """A command that cannot be carried out; the message is the one line that is printed."""
