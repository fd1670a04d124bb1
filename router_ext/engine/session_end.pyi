from router_ext.engine.engine import Engine
from router_ext.session.session import Session

def end_session(e: Engine, s: Session) -> None: ...
