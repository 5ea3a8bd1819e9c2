package script

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
)

// longestLine bounds what the official plugin can show of one line, in bytes. It hangs on a longer one; the stand-in
// fails instead.
const longestLine = 64 << 10

// recording keeps the output of one run. Stdout and stderr are written to it at the same time.
type recording struct {
	show func(line string)

	mu   sync.Mutex
	all  bytes.Buffer
	line bytes.Buffer // shown once it is complete
	err  error
}

// stream is one of the two outputs.
type stream struct {
	*recording
	own   bytes.Buffer
	shown bool
}

// Write keeps the text and shows the lines that it completes.
func (s *stream) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own.Write(text)
	s.all.Write(text)
	for rest, complete := text, s.shown; complete; {
		var line []byte
		line, rest, complete = bytes.Cut(rest, []byte("\n"))
		if s.line.Write(line); s.line.Len() >= longestLine {
			s.err = fmt.Errorf("a line of output has %d bytes or more, on which the official plugin hangs: "+
				"break the line, or set logging to none", longestLine)
			return 0, s.err
		}
		if complete {
			s.flush()
		}
	}
	return len(text), nil
}

func (s *stream) text() string { return strings.TrimSuffix(s.own.String(), "\n") }

func (r *recording) flush() {
	r.show(strings.TrimSuffix(r.line.String(), "\r"))
	r.line.Reset()
}

// end shows an unfinished last line, and returns the error of the run or of the recording itself.
func (r *recording) end(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	if r.line.Len() > 0 {
		r.flush()
	}
	return err
}
