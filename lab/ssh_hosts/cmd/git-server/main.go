// Command git-server is the Git host of a lab. Git does the work; this lets it in over SSH and over HTTP.
//
//	git-server --config FILE
//
// Over SSH one account with one key reads and writes what is below `seed`. Over HTTP everybody reads and writes what is
// below `own`, in place of the cluster's own Gitea, and reads a Helm repository of the chart archives in `charts`.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/crypto/ssh"

	"homelab/lab/ssh_hosts/internal/sessions"
)

// config is what the launcher writes.
type config struct {
	sessions.Account
	SSH    string `json:"ssh"`    // address and port
	HTTP   string `json:"http"`   // address and port
	Seed   string `json:"seed"`   // directory of bare repositories
	Own    string `json:"own"`    // directory of bare repositories
	Charts string `json:"charts"` // directory of <name>-<version>.tgz
}

// command is what a Git client asks an SSH server to run: https://git-scm.com/docs/pack-protocol.
var command = regexp.MustCompile(`^(git-upload-pack|git-receive-pack) '/?([A-Za-z0-9_./-]+\.git)'$`)

func main() {
	path := flag.String("config", "", "path of the JSON configuration")
	flag.Parse()
	if err := run(*path); err != nil {
		fmt.Fprintln(os.Stderr, "git-server:", err)
		os.Exit(1)
	}
}

func run(path string) error {
	var c config
	if err := sessions.Read(path, &c); err != nil {
		return err
	}
	pages, err := c.pages()
	if err != nil {
		return err
	}
	web, err := net.Listen("tcp", c.HTTP)
	if err != nil {
		return err
	}
	go func() { log.Fatal(http.Serve(web, pages)) }()
	return c.Serve(c.SSH, c.git)
}

// git runs one of the two programs that a Git client may ask for, on a repository below `seed`.
func (c config) git(line string, channel ssh.Channel) error {
	asked := command.FindStringSubmatch(line)
	if asked == nil || strings.Contains(asked[2], "..") {
		return fmt.Errorf("the lab's Git server serves repositories, and nothing else: %q", line)
	}
	child := exec.Command("git", strings.TrimPrefix(asked[1], "git-"), filepath.Join(c.Seed, asked[2]))
	child.Stdout, child.Stderr = channel, channel.Stderr()
	input, err := child.StdinPipe()
	if err != nil {
		return err
	}
	if err = child.Start(); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(input, channel)
		_ = input.Close()
	}()
	return child.Wait()
}

// pages are the repositories and the charts that are had over HTTP.
func (c config) pages() (http.Handler, error) {
	place, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return nil, fmt.Errorf("git --exec-path: %w", err)
	}
	pages := http.NewServeMux()
	pages.HandleFunc("/charts/index.yaml", c.index)
	pages.Handle("/charts/", http.StripPrefix("/charts/", http.FileServer(http.Dir(c.Charts))))
	pages.Handle("/", &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(place)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + c.Own, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=" + c.User},
	})
	return pages, nil
}

// index is the index of a Helm repository (https://helm.sh/docs/topics/chart_repository/), of what is there.
func (c config) index(answer http.ResponseWriter, _ *http.Request) {
	archives, err := filepath.Glob(filepath.Join(c.Charts, "*.tgz"))
	if err != nil {
		http.Error(answer, err.Error(), http.StatusInternalServerError)
		return
	}
	entries := map[string][]any{}
	for _, archive := range archives {
		file := filepath.Base(archive)
		if found := named.FindStringSubmatch(file); found != nil {
			entries[found[1]] = append(entries[found[1]], map[string]any{
				"apiVersion": "v2", "name": found[1], "version": found[2], "urls": []string{file},
			})
		}
	}
	_ = json.NewEncoder(answer).Encode(map[string]any{"apiVersion": "v1", "entries": entries})
}

// named is the file name of a chart archive.
var named = regexp.MustCompile(`^(.+?)-(v?\d+\.\d+\.\d+.*)\.tgz$`)
