"""What a database has confirmed outlives the loss of the server that confirmed it."""

from __future__ import annotations

from checks.model.platform import Platform

GROUP = "postgresql.cnpg.io"
BOTH = {"method": "any", "number": 1, "dataDurability": "preferred"}


def test_a_database_of_two_servers_confirms_what_both_have_written(everything: Platform) -> None:
    """Without it the replica takes over with what had reached it, which is less than clients were told.

    Not `required`: every write would wait while one of two nodes restarts.
    """
    said = {
        str(one): (one.spec.get("postgresql") or {}).get("synchronous")
        for one in everything.of_kind(GROUP, "Cluster")
        if one.spec["instances"] > 1
    }
    assert len(said) >= 2
    assert {name: one for name, one in said.items() if one != BOTH} == {}
