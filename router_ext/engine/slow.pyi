from router_ext.engine.channel import Channel

# (client id, user name, ms waited, topic, in flight, queued, bytes)
WaitingRow = tuple[str, str | None, int, str | None, int, int, int]

def waiting_longer(channels: list[Channel], now: int, clock: float, threshold: int) -> list[WaitingRow]: ...
