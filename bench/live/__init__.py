"""Streams under load: how many are held, what a message costs, how late it comes, and who comes back."""
