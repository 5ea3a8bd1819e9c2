module homelab/lab/pods/waiter

go 1.24
