"""The lab's stand-ins for Pulumi's provider plugins and Python language host, and the choice between them and others.

A folder each: `proxmoxve` (the upstream provider behind Pulumi's bridge), `kubernetes`, `command_tls` (three) in
Go; `language_host` in Python. The plugin `talos` comes from `lab/talos`, from the machinery that also plays the nodes.
"""
