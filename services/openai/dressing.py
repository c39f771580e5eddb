"""A second client over the same connections, of a class that remembers; the first one stays as it is."""

from typing import TypeVar, cast

ClientT = TypeVar("ClientT")
# They hold on to the client that made them, and are made again on first use.
_BOUND = frozenset({"chat", "responses", "with_raw_response", "with_streaming_response"})


def dressed(client: object, cls: type[ClientT], memory: object) -> ClientT:
    """Return a ``cls`` with all that ``client`` has (keys, headers, connections), and with this memory."""
    made = object.__new__(cls)
    vars(made).update({name: value for name, value in vars(client).items() if name not in _BOUND}, memory=memory)
    return made


def class_over(base: type[ClientT], client: object) -> type[ClientT]:
    """Return ``base``, or a class of both where the client's own class adds to what the package's has."""
    own = type(client)
    return base if issubclass(base, own) else cast("type[ClientT]", type(f"Memory{own.__name__}", (base, own), {}))
