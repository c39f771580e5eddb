"""Archive: a category that is never used, and whose statements have all ended or stand elsewhere, too, closes.

Nothing is lost by it: what is live stays in its other categories, and everything at the item tier.
"""

from collections.abc import Iterator

from .proposal import Proposal, View

_FEWEST_RETRIEVALS = 8
_MOST = 8


def archive(view: View) -> Iterator[Proposal]:
    """Propose to close what nobody would miss."""
    if len(view.evidence.retrievals) < _FEWEST_RETRIEVALS:
        return
    idle = [
        shelf
        for shelf in view.structure.shelves.values()
        if all(len(view.homes[row]) > 1 for row in shelf.items) and not any(row in view.used for row in shelf.items)
    ]
    for shelf in idle[:_MOST]:
        reason = (
            f"none of {len(view.evidence.retrievals)} retrievals used {shelf.name!r}, and each of its "
            f"{len(shelf.items)} live statements stands in another category"
        )
        yield Proposal("archive", (), (shelf.id,), reason)
