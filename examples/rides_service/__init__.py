"""A ride booking service of somebody else: what a partner might run. It shares no code and no data with Agora."""
