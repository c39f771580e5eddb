"""Whether a projection still holds what was erased from the log after it had been applied.

A projection that begins at position 0 reads the log as it is left by every erasure up to then; one that is met later
makes it stale, and it has to be built again.
"""

from .ledger import Ledger

_CLEAN_UNTIL = "clean_until"


def mark_clean(ledger: Ledger, position: int) -> None:
    """Note, before the first event is applied, up to where erasures are known to the reader."""
    ledger.remember({_CLEAN_UNTIL: str(position)})


def is_stale(ledger: Ledger) -> bool:
    """Tell whether an erasure came after what it erased had been applied."""
    latest = ledger.rows("SELECT max(made) FROM erasures")[0][0]
    return latest is not None and int(latest) > int(ledger.meta(_CLEAN_UNTIL) or 0)
