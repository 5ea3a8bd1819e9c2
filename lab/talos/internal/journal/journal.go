// Package journal records what happens in the simulated site: for tests and for the reader of journal.jsonl.
//
// Callers pass no secret: no configuration, no key, no token. The file has mode 0600 all the same.
package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// kept is how many events stay in memory for Since.
const kept = 20000

// Event is one thing that happened. Machine is the VM id, 0 when none is concerned.
type Event struct {
	Seq     int            `json:"seq"`
	Time    time.Time      `json:"time"`
	Kind    string         `json:"kind"`
	Machine int            `json:"machine,omitempty"`
	Name    string         `json:"name,omitempty"`
	Detail  map[string]any `json:"detail,omitempty"`
}

// Journal is safe for concurrent use.
type Journal struct {
	mu     sync.Mutex
	file   *os.File
	next   int
	events []Event
}

// Open appends to path and goes on counting where the last run stopped.
func Open(path string) (*Journal, error) {
	earlier, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open the journal: %w", err)
	}

	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	return &Journal{file: file, next: bytes.Count(earlier, []byte{'\n'}) + 1}, nil
}

// Record adds an event; details are pairs of key and value.
func (j *Journal) Record(kind string, machine int, name string, details ...any) {
	event := Event{Time: time.Now().UTC(), Kind: kind, Machine: machine, Name: name}

	for i := 0; i+1 < len(details); i += 2 {
		if event.Detail == nil {
			event.Detail = map[string]any{}
		}

		if err, ok := details[i+1].(error); ok {
			details[i+1] = err.Error()
		}

		event.Detail[fmt.Sprint(details[i])] = details[i+1]
	}

	j.mu.Lock()
	defer j.mu.Unlock()

	event.Seq = j.next
	j.next++
	j.events = append(j.events, event)
	if len(j.events) > kept {
		j.events = append([]Event(nil), j.events[kept/2:]...)
	}

	if line, err := json.Marshal(event); err == nil {
		_, _ = j.file.Write(append(line, '\n'))
	}
}

// Since returns the events with a number above seq, oldest first.
func (j *Journal) Since(seq int) []Event {
	j.mu.Lock()
	defer j.mu.Unlock()

	found := []Event{}

	for _, event := range j.events {
		if event.Seq > seq {
			found = append(found, event)
		}
	}
	return found
}
