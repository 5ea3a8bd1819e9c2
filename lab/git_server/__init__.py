"""The Git server of a lab, over SSH and HTTP, and the charts that its cluster may fetch.

`ssh_hosts/cmd/git-server` serves; `server.py` starts it and puts the files of the checkout into its repository.
"""
