"""The Git server of a lab, over SSH and HTTP, and the charts that its cluster may fetch.

`main.go` serves; `server.py` starts it and puts the files of the checkout into its repository.
"""
