"""The servers in Python that Agora is measured beside; each is a process of its own."""
