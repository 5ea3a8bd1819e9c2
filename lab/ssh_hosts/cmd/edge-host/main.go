// Command edge-host plays the public host of the lab: a real SSH server that takes the programs which the edge's
// components send, and runs none of them. It knows one account with one key, and remembers what is set up.
//
//	edge-host --config FILE
//
// A program is Python text on the standard input of `python3 - <function>`; text that Python cannot parse is refused.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"regexp"
	"sync"

	"golang.org/x/crypto/ssh"

	"homelab/lab/ssh_hosts/internal/sessions"
)

// config is what the launcher writes.
type config struct {
	sessions.Account
	Listen string `json:"listen"`
	State  string `json:"state"` // path of the file that says what is set up
}

var (
	command = regexp.MustCompile(`^(?:sudo -n )?python3 - ([a-z]+)$`)
	program = regexp.MustCompile(`"on_host\.([a-z_]+)":`)
)

func main() {
	log.SetFlags(log.LstdFlags)
	path := flag.String("config", "", "path of the JSON configuration")
	flag.Parse()
	if err := run(*path); err != nil {
		fmt.Fprintln(os.Stderr, "edge-host:", err)
		os.Exit(1)
	}
}

func run(path string) error {
	var c config
	if err := sessions.Read(path, &c); err != nil {
		return err
	}
	h := host{state: c.State, programs: map[string]string{}}
	if err := h.recall(); err != nil {
		return err
	}
	return c.Serve(c.Listen, h.play)
}

// host is what is set up there: by program, the function that ran last.
type host struct {
	state string

	mu       sync.Mutex
	programs map[string]string
}

// play records that a function of a program was called, without running it.
func (h *host) play(line string, channel ssh.Channel) error {
	text, err := io.ReadAll(channel)
	if err != nil {
		return err
	}
	function := command.FindStringSubmatch(line)
	names := program.FindAllStringSubmatch(string(text), -1)
	if function == nil || names == nil {
		return fmt.Errorf("the lab's edge host plays programs of components/edge/on_host, and nothing else: %q", line)
	}
	parse := exec.Command("python3", "-c", "import sys; compile(sys.stdin.read(), 'program', 'exec')")
	parse.Stdin = bytes.NewReader(text)
	if said, err := parse.CombinedOutput(); err != nil {
		return fmt.Errorf("Python cannot read the program: %s", said)
	}
	name := names[len(names)-1][1]
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.programs[name] = function[1]; function[1] == "remove" {
		delete(h.programs, name)
	}
	log.Println(name, function[1])
	fmt.Fprintf(channel, "%s: %s, played by the lab\n", name, function[1])
	return h.remember()
}

func (h *host) recall() error {
	text, err := os.ReadFile(h.state)
	if errors.Is(err, os.ErrNotExist) {
		return h.remember()
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, &h.programs)
}

func (h *host) remember() error {
	text, err := json.MarshalIndent(h.programs, "", "  ")
	if err != nil {
		return err
	}
	scratch := h.state + ".new"
	if err := os.WriteFile(scratch, text, 0o600); err != nil {
		return err
	}
	return os.Rename(scratch, h.state)
}
