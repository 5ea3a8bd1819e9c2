"""Which files the server in front of InvenTree gives to whom."""

from __future__ import annotations

import re

from checks.gitops.tree import GITOPS

CONFIGURATION = (GITOPS / "inventree" / "nginx.conf").read_text()
LOCATIONS = dict(re.findall(r"location (?:= )?(\S+) \{\n(.*?)\n {8}\}", CONFIGURATION, re.DOTALL))
FOR_EVERYBODY = {"/static/", "/assets/"}
"""Files of the program itself."""


def test_what_people_have_uploaded_is_given_to_those_who_have_signed_on() -> None:
    files = {place for place, text in LOCATIONS.items() if "alias " in text}
    assert files > FOR_EVERYBODY
    for place in files - FOR_EVERYBODY:
        assert "auth_request /signed-on;" in LOCATIONS[place], place
        # A page among them would run with the rights of who looks at it.
        assert "add_header Content-Disposition attachment;" in LOCATIONS[place], place
    assert "proxy_pass http://127.0.0.1:8000/auth/;" in LOCATIONS["/signed-on"]
    assert "internal;" in LOCATIONS["/signed-on"]


def test_everything_else_is_for_the_program_to_decide() -> None:
    assert set(LOCATIONS) == {"/", "/healthz", "/signed-on", "/media/", *FOR_EVERYBODY}
    assert "proxy_pass http://127.0.0.1:8000;" in LOCATIONS["/"]
