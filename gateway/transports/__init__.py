"""How requests come in and answers go out: HTTP, server-sent events, WebSockets, and what each refuses by itself."""
