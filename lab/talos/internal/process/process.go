// Package process runs the lab's child processes.
//
// It owns their start, their log files (mode 0600) and their end. It does not restart them: that is a decision of the
// caller. No child outlives this process: each one is killed by the kernel (Pdeathsig) when its parent goes, however it goes.
package process

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// gracePeriod is what a child gets between SIGTERM and SIGKILL.
const gracePeriod = 3 * time.Second

// Process is one running child.
type Process struct {
	Name string
	cmd  *exec.Cmd
	done chan struct{}
}

// spawner starts every child from one thread that lives as long as the program: Pdeathsig fires when the starting
// thread ends, and Go ends threads at will unless one is locked.
var spawner = sync.OnceValue(func() chan<- func() {
	work := make(chan func())

	go func() {
		runtime.LockOSThread()

		for start := range work {
			start()
		}
	}()

	return work
})

// Start runs path with args and sends its output to logFile. No argument may hold a secret: arguments are public.
func Start(name, logFile, path string, args ...string) (*Process, error) {
	output, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%s: open its log: %w", name, err)
	}
	defer output.Close()

	cmd := exec.Command(path, args...)
	// Twice the memory for half of the work of their garbage collectors, which is much of all that an idle lab does.
	cmd.Env = append(os.Environ(), "GOGC=200")
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}

	started := make(chan error)
	spawner() <- func() { started <- cmd.Start() }

	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s (%s): %w", name, path, err)
	}

	p := &Process{Name: name, cmd: cmd, done: make(chan struct{})}

	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Running tells whether the child still lives (a paused one does).
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Stop ends the child: SIGTERM, then SIGKILL after the grace period. It returns when the child is gone.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(gracePeriod):
		p.Kill()
	}
}

// Kill ends the child at once, as a power cut does.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Pause freezes the child: it keeps its sockets and answers nothing.
func (p *Process) Pause() { _ = p.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets a paused child continue.
func (p *Process) Resume() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }
