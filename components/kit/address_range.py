"""A range of addresses: how the settings write one, and what can be asked of it.

Owns no resource, and does not know what a range is for. Nothing must exist before.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address


@dataclass(frozen=True)
class AddressRange:
    """Addresses from first to last, both included."""

    first: IPv4Address
    last: IPv4Address

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"{self.first}-{self.last} ends before it starts; write {self.last}-{self.first}")

    def __contains__(self, address: object) -> bool:
        return isinstance(address, IPv4Address) and self.first <= address <= self.last

    def __str__(self) -> str:
        """`first-last`, or one address alone."""
        return str(self.first) if self.first == self.last else self.spelled_out

    @property
    def size(self) -> int:
        """How many addresses it has."""
        return int(self.last) - int(self.first) + 1

    @property
    def spelled_out(self) -> str:
        """`first-last` even for one address: MetalLB takes a bare address for a malformed network."""
        return f"{self.first}-{self.last}"

    def overlaps(self, other: AddressRange) -> bool:
        """Whether the two share an address."""
        return self.first <= other.last and other.first <= self.last

    @classmethod
    def parse(cls, text: str) -> AddressRange:
        """Read `10.0.3.2`, `10.0.3.4-10.0.3.20` or, for the last number only, `10.0.3.4-20`.

        Raises:
            ValueError: the text has neither form, or the range ends before it starts.
        """
        remedy = "give an address such as 10.0.3.2 or a range such as 10.0.3.4-10.0.3.20"
        start, dash, end = (part.strip() for part in text.partition("-"))
        try:
            first = IPv4Address(start)
            if dash and end.isdecimal():
                end = f"{start.rpartition('.')[0]}.{end}"
            last = IPv4Address(end) if dash else first
        except AddressValueError:
            raise ValueError(f"{text!r} is not a range of IPv4 addresses; {remedy}") from None
        return cls(first, last)
