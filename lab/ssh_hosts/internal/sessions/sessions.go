// Package sessions is an SSH server of one account with one key, whose commands are run by whoever uses the package.
package sessions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
)

// Account is who may come in, and how the host proves itself.
type Account struct {
	User          string `json:"user"`
	AuthorizedKey string `json:"authorizedKey"` // as in authorized_keys
	HostKey       string `json:"hostKey"`       // path of the private key
}

// Command runs what a client asks for. An error is written to the client, and is exit status 1.
type Command func(line string, channel ssh.Channel) error

// Read reads the JSON configuration of a host.
func Read(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Serve takes connections at an address until that fails.
func (a Account) Serve(address string, run Command) error {
	server, err := a.server()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			if err := serve(connection, server, run); err != nil && !errors.Is(err, io.EOF) {
				log.Println(err)
			}
		}()
	}
}

// server accepts the one key, from the one account.
func (a Account) server() (*ssh.ServerConfig, error) {
	known, _, _, _, err := ssh.ParseAuthorizedKey([]byte(a.AuthorizedKey))
	if err != nil {
		return nil, fmt.Errorf("authorizedKey: %w", err)
	}
	text, err := os.ReadFile(a.HostKey)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.HostKey, err)
	}
	server := &ssh.ServerConfig{
		PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if meta.User() != a.User || !bytes.Equal(key.Marshal(), known.Marshal()) {
				return nil, fmt.Errorf("no access for %s with this key", meta.User())
			}
			return nil, nil
		},
	}
	server.AddHostKey(signer)
	return server, nil
}

// serve handles the sessions of a connection, one after the other.
func serve(connection net.Conn, server *ssh.ServerConfig, run Command) error {
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
			if err := run(line.Command, channel); err != nil {
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
