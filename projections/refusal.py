"""The one way in which an event can be refused by the projection."""

from memstream.events.errors import InvalidEvent


class Refused(InvalidEvent):
    """An event that contradicts what came before it; live it is parked, a rebuild stops at it."""
