// Command waiter is what runs where there is nothing to do: as the first container of each pod, which holds its network,
// and in the place of an image that the lab does not have.
//
//	waiter [wait]   waits for TERM or INT
//	waiter done     ends at once, as a Job that has done its work
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "done" {
		return
	}

	ends := make(chan os.Signal, 1)
	children := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(children, syscall.SIGCHLD)
	for {
		select {
		case <-ends:
			return
		case <-children:
			// As process 1 of a pod whose containers share their processes, it is the parent of whatever is left behind.
			for {
				if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
					break
				}
			}
		}
	}
}
