package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"homelab/lab/plugins/command_tls/internal/plugintest"
)

func TestMain(m *testing.M) { plugintest.Main(m, main) }

const password = "random:index/randomPassword:RandomPassword"

func TestAPasswordHasItsLengthAndOnlyLettersAndDigits(t *testing.T) {
	made := plugintest.Start(t).Resource(password).Created(map[string]any{"length": 48.0, "special": false})
	if text := made.Text("result"); !regexp.MustCompile(`^[A-Za-z0-9]{48}$`).MatchString(text) {
		t.Errorf("got %d characters, want 48 letters and digits", len(text))
	}
}

func TestTwoPasswordsDiffer(t *testing.T) {
	plugin := plugintest.Start(t)
	one, other := plugin.Resource(password), plugin.Resource(password)
	if one.Created(map[string]any{"length": 48.0}).Text("result") == other.Created(map[string]any{"length": 48.0}).Text("result") {
		t.Error("two passwords are the same")
	}
}

func TestThePasswordAndItsHashAreSecretAndBelongTogether(t *testing.T) {
	made := plugintest.Start(t).Resource(password).Created(map[string]any{"length": 48.0})
	var secret []string
	for name, value := range made.State {
		if value.IsSecret() {
			secret = append(secret, string(name))
		}
	}
	slices.Sort(secret)
	if got := strings.Join(secret, " "); got != "bcryptHash result" {
		t.Errorf("secret is %q", got)
	}
	if err := bcrypt.CompareHashAndPassword([]byte(made.Text("bcryptHash")), []byte(made.Text("result"))); err != nil {
		t.Error(err)
	}
}

func TestAnotherLengthMakesAnotherPassword(t *testing.T) {
	made := plugintest.Start(t).Resource(password).Created(map[string]any{"length": 48.0})
	changed := made.Diff(map[string]any{"length": 32.0})
	if len(changed) == 0 {
		t.Error("another length is no change")
	}
	for property, kind := range changed {
		if !strings.Contains(strings.ToLower(kind), "replace") {
			t.Errorf("%s: %s, want a replacement", property, kind)
		}
	}
	if len(made.Diff(map[string]any{"length": 48.0})) != 0 {
		t.Error("the same length is a change")
	}
}
