"""What rows of the ledger are to those who read them: models, made of a query's columns in their order."""

from typing import Any

from memstream.events.payloads import Span

from .models import Item, Resource, Segment
from .progress import Progress


def item(row: tuple[Any, ...]) -> Item:
    """Return an item, without its sources and categories."""
    return Item(
        id=row[0],
        kind=row[1],
        text=row[2],
        speaker=row[3],
        happened=row[4],
        made=row[5],
        ended=row[6],
        end_reason=row[7],
        successor=row[8],
    )


def segment(row: tuple[Any, ...]) -> Segment:
    """Return a segment."""
    return Segment(
        id=row[0],
        resource_id=row[1],
        resource_name=row[2],
        ordinal=row[3],
        span=Span(unit=row[4], start=row[5], end=row[6]),
        text=row[7],
        message_ids=tuple(row[8] or ()),
        speakers=tuple(row[9] or ()),
        time=row[10],
        made=row[11],
    )


def resource(row: tuple[Any, ...], progress: Progress) -> Resource:
    """Return a resource, and how far its processing is."""
    return Resource(
        id=row[0],
        name=row[1],
        modality=row[2],
        media_type=row[3],
        digest=row[4],
        size=row[5],
        session=row[6],
        agent=row[7],
        time=row[8],
        made=row[9],
        ended=row[10],
        status=progress.status,
        failure=progress.failure,
        segments=progress.segments,
        items=progress.items,
        usage=progress.usage,
    )
