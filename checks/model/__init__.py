"""One model of everything that will exist: objects with their manager, what they need, what they provide, and where
each is declared.

`platform.py` puts it together from its sources: `program.py` (the recorded Pulumi program), `charts.py` (what Helm
charts make), `flux.py` (the built tree of Git), `machines.py` (Talos configurations and VMs), `operators.py` (what
operators make of custom resources) and `terraform.py` (a plan). Rules in `checks/rules/` read it and know no source.
"""
