"""China's identifiers of persons, vehicles and organisations: found, checked, brought to one form, masked."""

from fl_tasks.data.identifiers.cells import Check, check, normal_forms, shares
from fl_tasks.data.identifiers.text import KINDS, Held, Hits, find, held, mask

__all__ = ["KINDS", "Check", "Held", "Hits", "check", "find", "held", "mask", "normal_forms", "shares"]
