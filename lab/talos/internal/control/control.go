// Package control is the lab's own interface to the simulated site: HTTP on a unix socket (mode 0600). The simulated
// hypervisor tells it which VMs exist and run; tests look at what happened and break things.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"homelab/lab/talos/internal/journal"
	"homelab/lab/talos/internal/kubernetes"
	"homelab/lab/talos/internal/machine"
)

// maxBody bounds a request, in bytes.
const maxBody = 1 << 16

// API serves the site.
type API struct {
	Site    *machine.Site
	Cluster *kubernetes.ControlPlane
	Journal *journal.Journal
}

// Listen opens the socket. One that a killed process left behind is replaced; one in use is not.
func Listen(path string) (net.Listener, error) {
	if connection, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = connection.Close()
		return nil, fmt.Errorf("control socket %s: another talos-nodes answers on it; stop it or choose another path", path)
	}

	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}

	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return listener, os.Chmod(path, 0o600)
}

// Handler routes the requests.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /machines/{vmid}", a.announce)
	mux.HandleFunc("DELETE /machines/{vmid}", a.destroy)
	mux.HandleFunc("GET /machines", func(w http.ResponseWriter, _ *http.Request) { reply(w, a.Site.Reports()) })
	mux.HandleFunc("GET /status", a.status)
	mux.HandleFunc("POST /faults", a.fault)
	mux.HandleFunc("GET /events", a.events)
	return mux
}

func (a *API) announce(w http.ResponseWriter, r *http.Request) {
	var body struct {
		machine.Spec
		On bool `json:"on"`
	}

	vmid, ok := vmid(w, r)
	if !ok || !decode(w, r, &body) {
		return
	}

	if err := a.Site.Announce(vmid, body.Spec, body.On); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}

	w.WriteHeader(http.StatusNoContent)
}

func (a *API) destroy(w http.ResponseWriter, r *http.Request) {
	vmid, ok := vmid(w, r)
	if !ok {
		return
	}

	// A caller that goes away does not stop a destruction half-way.
	if err := a.Site.Destroy(context.WithoutCancel(r.Context()), vmid); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}

	w.WriteHeader(http.StatusNoContent)
}

func (a *API) status(w http.ResponseWriter, r *http.Request) {
	limit, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()

	reply(w, a.Cluster.Status(limit))
}

func (a *API) fault(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Machine int    `json:"machine"`
		Fault   string `json:"fault"`
	}

	if !decode(w, r, &body) {
		return
	}

	var err error
	switch {
	case body.Fault == "no-images" || body.Fault == "images":
		a.Site.SetNoImages(body.Machine, body.Fault == "no-images")
	case body.Fault == "silent" || body.Fault == "none":
		err = a.Site.SetSilent(body.Machine, body.Fault == "silent")
	case body.Fault == "upgrade-does-not-boot":
		err = a.Site.FailNextUpgrade(body.Machine)
	default:
		err = a.Cluster.SetFault(body.Fault)
	}

	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}

	a.Journal.Record("fault", body.Machine, "", "fault", body.Fault)
	w.WriteHeader(http.StatusNoContent)
}

func (a *API) events(w http.ResponseWriter, r *http.Request) {
	since := 0
	if text := r.URL.Query().Get("since"); text != "" {
		var err error
		if since, err = strconv.Atoi(text); err != nil {
			http.Error(w, fmt.Sprintf("since=%q is not a number", text), http.StatusBadRequest)
			return
		}
	}

	reply(w, a.Journal.Since(since))
}

func vmid(w http.ResponseWriter, r *http.Request) (int, bool) {
	id, err := strconv.Atoi(r.PathValue("vmid"))
	if err != nil {
		http.Error(w, fmt.Sprintf("VM id %q is not a number", r.PathValue("vmid")), http.StatusBadRequest)
	}
	return id, err == nil
}

func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		http.Error(w, "request body: "+err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

func reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}
