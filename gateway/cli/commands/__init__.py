"""The commands of `agora` by subject: their arguments and help; each imports what carries it out when it runs."""
