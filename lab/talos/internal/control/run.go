package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"homelab/lab/talos/internal/imagefactory"
	"homelab/lab/talos/internal/journal"
	"homelab/lab/talos/internal/kubernetes"
	"homelab/lab/talos/internal/machine"
)

// Config is the configuration file of talos-nodes.
type Config struct {
	State   string `json:"state"`   // directory of everything that is kept
	Control string `json:"control"` // path of the unix socket
	Factory string `json:"factory"` // listen address of the Image Factory
	kubernetes.Binaries
	Talosctl       string  `json:"talosctl"`
	BootSeconds    float64 `json:"bootSeconds"`
	InstallSeconds float64 `json:"installSeconds"`
	RebootSeconds  float64 `json:"rebootSeconds"`
	ImageSeconds   float64 `json:"imageSeconds"`
}

// LoadConfig reads the file and refuses what it does not know and programs that are not there.
func LoadConfig(path string) (Config, error) {
	var config Config

	document, err := os.ReadFile(path)
	if err != nil {
		return config, fmt.Errorf("configuration: %w", err)
	}

	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	if err = decoder.Decode(&config); err != nil {
		return config, fmt.Errorf("configuration %s: %w", path, err)
	}

	for key, value := range map[string]string{"state": config.State, "control": config.Control, "factory": config.Factory} {
		if value == "" {
			return config, fmt.Errorf("configuration %s: %q is missing", path, key)
		}
	}

	programs := map[string]string{
		"etcd": config.Etcd, "kubeApiserver": config.APIServer, "kubeControllerManager": config.ControllerManager,
		"kubeScheduler": config.Scheduler, "kwok": config.Kwok, "kubectl": config.Kubectl, "talosctl": config.Talosctl,
	}

	for key, program := range programs {
		if info, err := os.Stat(program); err != nil || info.IsDir() || info.Mode()&0o111 == 0 || !filepath.IsAbs(program) {
			return config, fmt.Errorf("configuration %s: %q is %q: it must be the absolute path of a program", path, key, program)
		}
	}

	if config.State, err = filepath.Abs(config.State); err != nil {
		return config, err
	}
	return config, nil
}

// Run plays the site until ctx ends and returns when nothing of it runs any more. ready is called once it listens.
func Run(ctx context.Context, config Config, ready func()) error {
	if err := os.MkdirAll(config.State, 0o700); err != nil {
		return err
	}

	events, err := journal.Open(filepath.Join(config.State, "journal.jsonl"))
	if err != nil {
		return err
	}

	socket, err := Listen(config.Control)
	if err != nil {
		return err
	}

	factoryListener, err := net.Listen("tcp", config.Factory)
	if err != nil {
		return errors.Join(fmt.Errorf("image factory: %w", err), socket.Close())
	}

	cluster, err := kubernetes.New(config.Binaries, filepath.Join(config.State, "kubernetes"), events)
	if err != nil {
		return err
	}

	seconds := func(value float64) time.Duration { return time.Duration(value * float64(time.Second)) }

	factory, err := imagefactory.Open(filepath.Join(config.State, "factory"), seconds(config.ImageSeconds))
	if err != nil {
		return err
	}

	site, err := machine.Open(machine.Options{
		Dir: filepath.Join(config.State, "machines"), Talosctl: config.Talosctl,
		BootTime: seconds(config.BootSeconds), InstallTime: seconds(config.InstallSeconds), RebootTime: seconds(config.RebootSeconds),
	}, cluster, factory, events)
	if err != nil {
		return err
	}

	api := &API{Site: site, Cluster: cluster, Journal: events}
	servers := []*http.Server{{Handler: api.Handler()}, {Handler: factory.Handler()}}

	work, cancel := context.WithCancel(ctx)
	defer cancel()

	var group sync.WaitGroup
	for i, listener := range []net.Listener{socket, factoryListener} {
		group.Go(func() {
			if err := servers[i].Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				events.Record("error", 0, "", "error", err)
			}
		})
	}

	group.Go(func() { cluster.Run(work) })
	group.Go(func() { site.Run(work) })
	ready()
	<-ctx.Done()
	for _, server := range servers {
		_ = server.Close()
	}

	cancel()
	group.Wait() // the control plane ends before the members' machines do
	site.Close()
	return nil
}
