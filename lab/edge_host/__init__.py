"""The lab's public host (a VPS): a real SSH server in Go, and the Python that starts it and asks what is left on it.

The server takes the programs that the edge's components send, keeps them as state, and runs none of them.
"""
