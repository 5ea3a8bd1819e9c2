"""The lab's public host (a VPS): starts its SSH server (`ssh_hosts/cmd/edge-host`), and asks what is left on it.

The server takes the programs that the edge's components send, keeps them as state, and runs none of them.
"""
