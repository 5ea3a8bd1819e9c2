package imagefactory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// maxSchematic bounds a request body, in bytes.
const maxSchematic = 1 << 20

// Factory keeps the schematics that were asked for. They survive a restart.
//
// An image is built when it is first asked for, even by HEAD, and the answer waits for it; the build goes on if whoever
// asked gives up, and is done once (buildAndCache in
// https://github.com/siderolabs/image-factory/blob/v1.5.0/internal/asset/asset.go).
type Factory struct {
	dir       string
	buildTime time.Duration

	mu         sync.Mutex
	schematics map[string]Schematic
	built      map[string]time.Time // by path of the image: when its build ends
}

// Open loads the schematics kept in dir. Each image takes buildTime to build.
func Open(dir string, buildTime time.Duration) (*Factory, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("image factory: %w", err)
	}

	f := &Factory{
		dir: dir, buildTime: buildTime, schematics: map[string]Schematic{DefaultID: {}}, built: map[string]time.Time{},
	}

	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}

	for _, file := range files {
		document, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("image factory: %w", err)
		}

		if _, err := f.Add(document); err != nil {
			return nil, fmt.Errorf("image factory: %s: %w", file, err)
		}
	}
	return f, nil
}

// Add stores a schematic and returns its id. Extension names are not looked at: like the real factory, this one
// refuses an unknown extension when an image is asked for.
func (f *Factory) Add(document []byte) (string, error) {
	schematic, err := ParseSchematic(document)
	if err != nil {
		return "", err
	}

	normalised, err := schematic.Marshal()
	if err != nil {
		return "", err
	}

	sum := sha256.Sum256(normalised)
	id := hex.EncodeToString(sum[:])

	f.mu.Lock()
	defer f.mu.Unlock()

	f.schematics[id] = schematic
	return id, os.WriteFile(filepath.Join(f.dir, id+".yaml"), normalised, 0o600)
}

// Lookup returns a stored schematic.
func (f *Factory) Lookup(id string) (Schematic, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()

	schematic, found := f.schematics[id]
	return schematic, found
}

// Check refuses an image that the factory could not build: unknown schematic, version or extension.
func (f *Factory) Check(id, version string) error {
	schematic, found := f.Lookup(id)
	if !found {
		return errNotFound
	}

	if !knownVersion(version) {
		return fmt.Errorf("version %s is not available", version)
	}

	for _, name := range schematic.Extensions() {
		if !knownExtension(name) {
			return fmt.Errorf("official extension %q is not available for Talos version %s", name, version)
		}
	}
	return nil
}

var (
	errNotFound = errors.New("schematic ID not found")
	imageFile   = regexp.MustCompile(`^(nocloud|metal)-(amd64|arm64)\.(qcow2|iso|raw\.xz|raw\.zst)$`)
)

// Handler is the HTTP interface.
func (f *Factory) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /schematics", f.postSchematic)
	mux.HandleFunc("GET /versions", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, versions) })
	mux.HandleFunc("GET /version/{version}/extensions/official", f.getExtensions)
	mux.HandleFunc("GET /version/{version}/overlays/official", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, []any{}) })
	mux.HandleFunc("GET /image/{schematic}/{version}/{file}", f.getImage)
	return mux
}

func (f *Factory) postSchematic(w http.ResponseWriter, r *http.Request) {
	document, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSchematic))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}

	id, err := f.Add(document)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}

	reply(w, http.StatusCreated, map[string]string{"id": id})
}

func (f *Factory) getExtensions(w http.ResponseWriter, r *http.Request) {
	version := r.PathValue("version")
	if !knownVersion(version) {
		http.Error(w, fmt.Sprintf("version %s is not available", version), http.StatusNotFound)
		return
	}

	extensions := make([]map[string]string, 0, len(officialExtensions))
	for _, name := range officialExtensions {
		digest := sha256.Sum256([]byte(name + version))
		extensions = append(extensions, map[string]string{
			"name":        vendor + name,
			"ref":         r.Host + "/" + vendor + name + ":" + strings.TrimPrefix(version, "v"),
			"digest":      "sha256:" + hex.EncodeToString(digest[:]),
			"author":      "lab",
			"description": "[lab] placeholder of the extension " + name,
		})
	}

	reply(w, http.StatusOK, extensions)
}

func (f *Factory) getImage(w http.ResponseWriter, r *http.Request) {
	id, version, file := r.PathValue("schematic"), r.PathValue("version"), r.PathValue("file")
	if !imageFile.MatchString(file) {
		http.Error(w, fmt.Sprintf("image %q is not one that the lab's factory offers", file), http.StatusNotFound)
		return
	}

	switch err := f.Check(id, version); {
	case errors.Is(err, errNotFound):
		http.Error(w, err.Error(), http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	case !f.build(r.Context(), r.URL.Path):
		return // Whoever asked has gone.
	default:
		body := fmt.Sprintf("lab image: talos %s, schematic %s, %s\n", version, id, file)
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = io.WriteString(w, body)
	}
}

// build waits until the image at path is built, from the first call on. It is false if ctx ends before that.
func (f *Factory) build(ctx context.Context, path string) bool {
	f.mu.Lock()

	end, begun := f.built[path]
	if !begun {
		end = time.Now().Add(f.buildTime)
		f.built[path] = end
	}

	f.mu.Unlock()

	select {
	case <-time.After(time.Until(end)):
		return true
	case <-ctx.Done():
		return false
	}
}

func reply(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}
