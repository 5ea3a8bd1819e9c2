// Command talos-nodes plays the Talos nodes of the lab, with a real control plane behind them.
//
//	talos-nodes --config FILE
//
// It prints one line when it listens, and ends with everything that it started on SIGTERM or SIGINT.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"homelab/lab/talos/internal/control"
)

func main() {
	path := flag.String("config", "", "path of the JSON configuration")
	flag.Parse()
	if err := run(*path); err != nil {
		fmt.Fprintln(os.Stderr, "talos-nodes:", err)
		os.Exit(1)
	}
}

func run(path string) error {
	syscall.Umask(0o077)

	config, err := control.LoadConfig(path)
	if err != nil {
		return err
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return control.Run(ctx, config, func() { fmt.Println("talos-nodes: listening on", config.Control) })
}
