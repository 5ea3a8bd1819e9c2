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
	"net"
	"os"
	"os/exec"
	"regexp"
	"sync"

	"golang.org/x/crypto/ssh"
)

// config is what the launcher writes.
type config struct {
	Listen        string `json:"listen"`
	User          string `json:"user"`
	AuthorizedKey string `json:"authorizedKey"` // as in authorized_keys
	HostKey       string `json:"hostKey"`       // path of the private key
	State         string `json:"state"`         // path of the file that says what is set up
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
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	server, err := c.server()
	if err != nil {
		return err
	}
	h := host{state: c.State, programs: map[string]string{}}
	if err := h.recall(); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			if err := h.serve(connection, server); err != nil && !errors.Is(err, io.EOF) {
				log.Println(err)
			}
		}()
	}
}

// server accepts the one key, from the one account.
func (c config) server() (*ssh.ServerConfig, error) {
	known, _, _, _, err := ssh.ParseAuthorizedKey([]byte(c.AuthorizedKey))
	if err != nil {
		return nil, fmt.Errorf("authorizedKey: %w", err)
	}
	text, err := os.ReadFile(c.HostKey)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.HostKey, err)
	}
	server := &ssh.ServerConfig{
		PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if meta.User() != c.User || !bytes.Equal(key.Marshal(), known.Marshal()) {
				return nil, fmt.Errorf("no access for %s with this key", meta.User())
			}
			return nil, nil
		},
	}
	server.AddHostKey(signer)
	return server, nil
}

// host is what is set up there: by program, the function that ran last.
type host struct {
	state string

	mu       sync.Mutex
	programs map[string]string
}

// serve handles the one session of a connection.
func (h *host) serve(connection net.Conn, server *ssh.ServerConfig) error {
	defer connection.Close()
	_, channels, requests, err := ssh.NewServerConn(connection, server)
	if err != nil {
		return err
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		if offered.ChannelType() != "session" {
			_ = offered.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		}
		channel, asked, err := offered.Accept()
		if err != nil {
			return err
		}
		for request := range asked {
			var line struct{ Command string }
			if request.Type != "exec" || ssh.Unmarshal(request.Payload, &line) != nil {
				_ = request.Reply(false, nil)
				continue
			}
			_ = request.Reply(true, nil)
			status := uint32(0)
			if err := h.play(line.Command, channel); err != nil {
				fmt.Fprintln(channel.Stderr(), err)
				log.Println(err)
				status = 1
			}
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
			_ = channel.Close()
		}
	}
	return nil
}

// play records that a function of a program was called, without running it.
func (h *host) play(line string, channel io.ReadWriter) error {
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
