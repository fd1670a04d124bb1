from types import CodeType
from typing import Any

def interrupt(thread: int, code: CodeType, name: str, held: float, exception: type[BaseException]) -> Any: ...
