package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pkg/sftp"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"golang.org/x/crypto/ssh"

	"homelab/lab/plugins/command_tls/internal/plugintest"
)

const (
	remoteCommand = "command:remote:Command"
	copyToRemote  = "command:remote:CopyToRemote"
	accepted      = "ACCEPTED" // the one variable that the test's server takes
)

// sshServer runs commands in this machine's shell. It lets `operator` in, by key or by password.
type sshServer struct {
	port    float64
	hostKey string
	client  string // the private key that opens it
}

func (s sshServer) connection(changes map[string]any) map[string]any {
	connection := map[string]any{
		"host": "127.0.0.1", "port": s.port, "user": "operator", "privateKey": plugintest.Secret(s.client), "hostKey": s.hostKey,
		"dialErrorLimit": 0,
	}
	for name, value := range changes {
		connection[name] = value
	}
	return connection
}

func startSSH(t *testing.T) sshServer {
	t.Helper()
	host, client := newKey(t), newKey(t)
	private, err := ssh.MarshalPrivateKey(client.key, "")
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(connection ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if connection.User() == "operator" && string(key.Marshal()) == string(client.signer.PublicKey().Marshal()) {
				return nil, nil
			}
			return nil, errors.New("not this key")
		},
		PasswordCallback: func(connection ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			if connection.User() == "operator" && string(password) == "opensesame" {
				return nil, nil
			}
			return nil, errors.New("not this password")
		},
	}
	config.AddHostKey(host.signer)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go serveConnection(connection, config)
		}
	}()
	return sshServer{
		port:    plugintest.Port(t, listener.Addr().String()),
		hostKey: string(ssh.MarshalAuthorizedKey(host.signer.PublicKey())),
		client:  string(pem.EncodeToMemory(private)),
	}
}

type keyPair struct {
	key    ed25519.PrivateKey
	signer ssh.Signer
}

func newKey(t *testing.T) keyPair {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{key, signer}
}

func serveConnection(connection net.Conn, config *ssh.ServerConfig) {
	_, channels, requests, err := ssh.NewServerConn(connection, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		go serveSession(channel, requests)
	}
}

func serveSession(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	var environment []string
	for request := range requests {
		switch request.Type {
		case "env":
			var variable struct{ Name, Value string }
			_ = ssh.Unmarshal(request.Payload, &variable)
			taken := variable.Name == accepted
			if taken {
				environment = append(environment, variable.Name+"="+variable.Value)
			}
			_ = request.Reply(taken, nil)
		case "exec":
			_ = request.Reply(true, nil)
			var wanted struct{ Command string }
			_ = ssh.Unmarshal(request.Payload, &wanted)
			command := exec.Command("/bin/sh", "-c", wanted.Command)
			command.Env = append(os.Environ(), environment...)
			command.Stdin, command.Stdout, command.Stderr = channel, channel, channel.Stderr()
			_ = command.Run()
			status := binary.BigEndian.AppendUint32(nil, uint32(command.ProcessState.ExitCode()))
			_, _ = channel.SendRequest("exit-status", false, status)
			return
		case "subsystem":
			_ = request.Reply(true, nil)
			if server, err := sftp.NewServer(channel); err == nil {
				_ = server.Serve()
			}
			return
		default:
			_ = request.Reply(false, nil)
		}
	}
}

// startWithoutAgent keeps the tester's own SSH agent out.
func startWithoutAgent(t *testing.T) *plugintest.Plugin {
	t.Helper()
	return plugintest.Start(t, "SSH_AUTH_SOCK=")
}

func TestARemoteCommandRunsWithItsEnvironmentAndInput(t *testing.T) {
	server := startSSH(t)
	command := startWithoutAgent(t).Resource(remoteCommand).Created(map[string]any{
		"connection": server.connection(nil), "create": `echo "$ACCEPTED"; cat; echo oops >&2`, "stdin": "typed",
		"environment": map[string]any{accepted: "b"},
	})
	equal(t, "stdout", command.Text("stdout"), "b\ntyped")
	equal(t, "stderr", command.Text("stderr"), "oops")
}

func TestAConnectionIsSecretAsAWhole(t *testing.T) {
	server := startSSH(t)
	command := startWithoutAgent(t).Resource(remoteCommand).Created(map[string]any{"connection": server.connection(nil)})
	equal(t, "secrecy", command.State["connection"].IsSecret(), true)
}

func TestAConnectionHasDefaults(t *testing.T) {
	command := startWithoutAgent(t).Resource(remoteCommand)
	if reasons, err := command.Check(map[string]any{"connection": map[string]any{"host": "h"}}); err != nil || reasons != nil {
		t.Fatal(reasons, err)
	}
	connection := command.In["connection"].SecretValue().Element.ObjectValue()
	for name, want := range map[resource.PropertyKey]any{"user": "root", "port": 22.0, "dialErrorLimit": 10.0, "perDialTimeout": 15.0} {
		equal(t, string(name), connection[name].V, want)
	}
}

func TestAPasswordIsAccepted(t *testing.T) {
	server := startSSH(t)
	connection := server.connection(map[string]any{"password": plugintest.Secret("opensesame")})
	delete(connection, "privateKey")
	command := startWithoutAgent(t).Resource(remoteCommand).Created(map[string]any{"connection": connection, "create": "echo in"})
	equal(t, "stdout", command.Text("stdout"), "in")
}

func TestAnotherHostKeyIsRefused(t *testing.T) {
	server, other := startSSH(t), newKey(t)
	err := startWithoutAgent(t).Resource(remoteCommand).Create(map[string]any{
		"connection": server.connection(map[string]any{"hostKey": string(ssh.MarshalAuthorizedKey(other.signer.PublicKey()))}),
		"create":     "true",
	})
	if err == nil {
		t.Fatal("another host key passed")
	}
	contains(t, err.Error(), "host key mismatch")
}

func TestAHostThatDoesNotAnswerIsTriedAsOftenAsTheLimitSays(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := plugintest.Port(t, listener.Addr().String())
	_ = listener.Close()
	plugin := startWithoutAgent(t)
	err = plugin.Resource(remoteCommand).Create(map[string]any{
		"connection": startSSH(t).connection(map[string]any{"port": closed, "dialErrorLimit": 2}), "create": "true",
	})
	if err == nil {
		t.Fatal("a closed port passed")
	}
	contains(t, err.Error(), "after 2 failed attempts", "connection refused")
	equal(t, "what was shown", strings.Join(plugin.Logged(), ", "), "Dial 1/2 failed: retrying, Dial 2/2 failed: retrying")
}

func TestAVariableThatTheServerDoesNotTakeFails(t *testing.T) {
	err := startWithoutAgent(t).Resource(remoteCommand).Create(map[string]any{
		"connection": startSSH(t).connection(nil), "create": "true", "environment": map[string]any{"OTHER": "b"},
	})
	if err == nil {
		t.Fatal("a variable that the server refuses passed")
	}
	contains(t, err.Error(), "could not set environment variable", "OTHER")
}

func TestAPreviousOutputThatTheServerDoesNotTakeIsAWarning(t *testing.T) {
	server, plugin := startSSH(t), startWithoutAgent(t)
	command := plugin.Resource(remoteCommand).Created(map[string]any{"connection": server.connection(nil), "create": "echo 1"})
	command.Update(map[string]any{"connection": server.connection(nil), "create": `echo "2[$PULUMI_COMMAND_STDOUT]"`})
	equal(t, "stdout", command.Text("stdout"), "2[]")
	contains(t, strings.Join(plugin.Logged(), "\n"), "Unable to set 'PULUMI_COMMAND_STDOUT'")
}

func TestARemoteFailureTellsTheStatusTheCommandAndItsOutput(t *testing.T) {
	err := startWithoutAgent(t).Resource(remoteCommand).Create(map[string]any{
		"connection": startSSH(t).connection(nil), "create": "echo seen; exit 3",
	})
	if err == nil {
		t.Fatal("a failing command passed")
	}
	contains(t, err.Error(), `Process exited with status 3: running "echo seen; exit 3":`, "seen\n")
}

func TestARemoteDeleteRunsItsScript(t *testing.T) {
	file := filepath.Join(t.TempDir(), "deleted")
	command := startWithoutAgent(t).Resource(remoteCommand).Created(map[string]any{
		"connection": startSSH(t).connection(nil), "delete": "touch " + file,
	})
	if err := command.Delete(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func asset(t *testing.T, text string) resource.PropertyValue {
	t.Helper()
	made, err := resource.NewTextAsset(text)
	if err != nil {
		t.Fatal(err)
	}
	return resource.NewAssetProperty(made)
}

func TestATextIsCopiedIntoDirectoriesThatDoNotExist(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a", "b")
	startWithoutAgent(t).Resource(copyToRemote).Created(map[string]any{
		"connection": startSSH(t).connection(nil), "source": asset(t, "content"), "remotePath": file,
	})
	content, _ := os.ReadFile(file)
	equal(t, "content", string(content), "content")
}

func TestAFileIsCopiedIntoADirectoryByItsName(t *testing.T) {
	source, target := filepath.Join(t.TempDir(), "name"), t.TempDir()
	if err := os.WriteFile(source, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	made, err := resource.NewPathAsset(source)
	if err != nil {
		t.Fatal(err)
	}
	startWithoutAgent(t).Resource(copyToRemote).Created(map[string]any{
		"connection": startSSH(t).connection(nil), "source": resource.NewAssetProperty(made), "remotePath": target,
	})
	content, _ := os.ReadFile(filepath.Join(target, "name"))
	equal(t, "content", string(content), "content")
}

func TestAChangedTextIsCopiedAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	connection := startSSH(t).connection(nil)
	inputs := map[string]any{"connection": connection, "source": asset(t, "longer"), "remotePath": file}
	copied := startWithoutAgent(t).Resource(copyToRemote).Created(inputs)
	copied.Update(map[string]any{"connection": connection, "source": asset(t, "new"), "remotePath": file})
	content, _ := os.ReadFile(file)
	equal(t, "content", string(content), "new")
}

func TestADirectoryIsRefused(t *testing.T) {
	plugintest.NotOfTheOfficialPlugin(t)
	archive, err := resource.NewPathArchive(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	reasons, err := startWithoutAgent(t).Resource(copyToRemote).Check(map[string]any{
		"connection": map[string]any{"host": "h"}, "source": resource.NewArchiveProperty(archive), "remotePath": "/x",
	})
	if err != nil || len(reasons) != 1 {
		t.Fatalf("want one objection, got %v, %v", reasons, err)
	}
	contains(t, reasons[0], "FileAsset")
}
