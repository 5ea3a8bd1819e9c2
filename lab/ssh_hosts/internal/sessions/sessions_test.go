package sessions

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// key makes a signer, and its private half as in a file.
func key(t *testing.T) (ssh.Signer, []byte) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(block)
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return signer, text
}

// host serves one account, which echoes what it is sent, and refuses the command `refuse`.
func host(t *testing.T, allowed ssh.Signer) string {
	t.Helper()
	_, text := key(t)
	file := filepath.Join(t.TempDir(), "host-key")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	account := Account{User: "git", AuthorizedKey: string(ssh.MarshalAuthorizedKey(allowed.PublicKey())), HostKey: file}
	go func() {
		_ = account.Serve(address, func(line string, channel ssh.Channel) error {
			if line == "refuse" {
				return errors.New("no such command")
			}
			_, err := io.Copy(channel, channel)
			return err
		})
	}()
	return address
}

func connect(address, user string, with ssh.Signer) (*ssh.Client, error) {
	config := &ssh.ClientConfig{
		User:            user,
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(with)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	}
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		client, err := ssh.Dial("tcp", address, config)
		var refused *net.OpError
		if err == nil || !errors.As(err, &refused) || time.Since(begun) > 10*time.Second {
			return client, err
		}
	}
}

func session(t *testing.T, address string, with ssh.Signer) *ssh.Session {
	t.Helper()
	client, err := connect(address, "git", with)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	opened, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func TestACommandGetsWhatIsSentAndEndsWell(t *testing.T) {
	known, _ := key(t)
	opened := session(t, host(t, known), known)
	input, err := opened.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = io.WriteString(input, "a pack")
		input.Close()
	}()
	if said, err := opened.Output("echo"); err != nil || string(said) != "a pack" {
		t.Fatalf("%q, %v", said, err)
	}
}

func TestACommandThatFailsIsExitStatusOneWithItsReason(t *testing.T) {
	known, _ := key(t)
	said, err := session(t, host(t, known), known).CombinedOutput("refuse")
	var ended *ssh.ExitError
	if !errors.As(err, &ended) || ended.ExitStatus() != 1 || string(said) != "no such command\n" {
		t.Fatalf("%q, %v", said, err)
	}
}

func TestAnotherKeyAndAnotherAccountAreRefused(t *testing.T) {
	known, _ := key(t)
	other, _ := key(t)
	address := host(t, known)
	if _, err := connect(address, "git", other); err == nil {
		t.Fatal("another key was let in")
	}
	if _, err := connect(address, "root", known); err == nil {
		t.Fatal("another account was let in")
	}
}
