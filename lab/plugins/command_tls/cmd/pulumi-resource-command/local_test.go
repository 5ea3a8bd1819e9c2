package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"homelab/lab/plugins/command_tls/internal/plugintest"
)

func TestMain(m *testing.M) { plugintest.Main(m, main) }

const localCommand = "command:local:Command"

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q lacks %q", text, part)
		}
	}
}

func TestCreateRunsInItsDirectoryWithItsEnvironmentAndInput(t *testing.T) {
	directory := t.TempDir()
	command := plugintest.Start(t).Resource(localCommand).Created(map[string]any{
		"create": `pwd; echo "$A"; cat; echo oops >&2`, "dir": directory, "stdin": "typed",
		"environment": map[string]any{"A": "b"},
	})
	equal(t, "stdout", command.Text("stdout"), directory+"\nb\ntyped")
	equal(t, "stderr", command.Text("stderr"), "oops")
	contains(t, command.ID, "name")
}

func TestTheInterpreterGetsTheCommandAsItsLastArgument(t *testing.T) {
	command := plugintest.Start(t).Resource(localCommand).Created(map[string]any{
		"create": "hello", "interpreter": []any{"/bin/echo", "first"},
	})
	equal(t, "stdout", command.Text("stdout"), "first hello")
}

func TestAPreviewRunsNothingAndKnowsNoOutput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "made")
	planned := plugintest.Start(t).Resource(localCommand).Preview(map[string]any{
		"create": "touch " + file, "environment": map[string]any{"A": plugintest.Unknown()},
	})
	if _, err := os.Stat(file); err == nil {
		t.Error("the preview ran the command")
	}
	for _, name := range []resource.PropertyKey{"stdout", "stderr"} {
		if !planned[name].IsComputed() {
			t.Errorf("%s is %v in a preview, want it unknown", name, planned[name])
		}
	}
}

func TestASecretInputStaysSecretAndTheOutputIsNotMadeSecret(t *testing.T) {
	command := plugintest.Start(t).Resource(localCommand).Created(map[string]any{
		"create": "echo out", "stdin": plugintest.Secret("x"), "environment": map[string]any{"A": plugintest.Secret("b")},
	})
	equal(t, "secrecy of stdin", command.State["stdin"].IsSecret(), true)
	equal(t, "secrecy of environment", command.State["environment"].ContainsSecrets(), true)
	equal(t, "secrecy of stdout", command.State["stdout"].IsSecret(), false)
}

func TestAnUpdateWithoutItsOwnScriptRunsCreateAgain(t *testing.T) {
	command := plugintest.Start(t).Resource(localCommand).Created(map[string]any{"create": "echo 1"})
	command.Update(map[string]any{"create": `echo "2 after $PULUMI_COMMAND_STDOUT$PULUMI_COMMAND_STDERR"`})
	equal(t, "stdout", command.Text("stdout"), "2 after 1")
}

func TestAnUpdateRunsItsOwnScript(t *testing.T) {
	command := plugintest.Start(t).Resource(localCommand).Created(map[string]any{"create": "echo 1; echo e >&2"})
	command.Update(map[string]any{"create": "echo 1", "update": `echo "$PULUMI_COMMAND_STDOUT$PULUMI_COMMAND_STDERR"`})
	equal(t, "stdout", command.Text("stdout"), "1e")
}

func TestAnUpdateWithNothingToRunKeepsTheOutput(t *testing.T) {
	command := plugintest.Start(t).Resource(localCommand).Created(map[string]any{"create": "echo 1"})
	command.Update(map[string]any{"delete": "true"})
	equal(t, "stdout", command.Text("stdout"), "1")
}

func TestThePreviousOutputCanBeLeftOut(t *testing.T) {
	command := plugintest.Start(t).Resource(localCommand).Created(map[string]any{"create": "echo 1"})
	command.Update(map[string]any{"create": `echo "[$PULUMI_COMMAND_STDOUT]"`, "addPreviousOutputInEnv": false})
	equal(t, "stdout", command.Text("stdout"), "[]")
}

func TestThePreviewOfAnUpdateKnowsNoOutput(t *testing.T) {
	command := plugintest.Start(t).Resource(localCommand).Created(map[string]any{"create": "echo 1"})
	planned := command.PreviewUpdate(map[string]any{"create": "echo 2"})
	equal(t, "unknown stdout", planned["stdout"].IsComputed(), true)
}

func TestDeleteRunsItsScriptWithTheOutput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "deleted")
	command := plugintest.Start(t).Resource(localCommand).Created(map[string]any{
		"create": "echo 1", "delete": `echo "$PULUMI_COMMAND_STDOUT" > ` + file,
	})
	if err := command.Delete(); err != nil {
		t.Fatal(err)
	}
	content, _ := os.ReadFile(file)
	equal(t, "what delete wrote", string(content), "1\n")
}

func TestDeleteWithoutAScriptDoesNothing(t *testing.T) {
	command := plugintest.Start(t).Resource(localCommand).Created(map[string]any{"create": "echo 1", "update": "false"})
	if err := command.Delete(); err != nil {
		t.Error(err)
	}
}

func TestAFailureTellsTheStatusTheCommandAndItsOutput(t *testing.T) {
	err := plugintest.Start(t).Resource(localCommand).Create(map[string]any{"create": "echo seen; echo heard >&2; exit 3"})
	if err == nil {
		t.Fatal("a failing command passed")
	}
	contains(t, err.Error(), `exit status 3: running "echo seen; echo heard >&2; exit 3":`, "seen", "heard")
}

func TestADirectoryThatIsMissingFails(t *testing.T) {
	err := plugintest.Start(t).Resource(localCommand).Create(map[string]any{"create": "true", "dir": "/nowhere"})
	if err == nil {
		t.Fatal("a missing directory passed")
	}
	contains(t, err.Error(), "/nowhere")
}

func TestOutputIsShownLineByLineAsLoggingSays(t *testing.T) {
	both := []string{"a", "b", "c"}
	for logging, want := range map[any][]string{
		nil: both, "stdoutAndStderr": both, "stdout": {"a", "b"}, "stderr": {"c"}, "none": nil,
	} {
		plugin := plugintest.Start(t)
		inputs := map[string]any{"create": "echo a; printf b; sleep 0.1; echo; sleep 0.1; printf c >&2"}
		if logging != nil {
			inputs["logging"] = logging
		}
		plugin.Resource(localCommand).Created(inputs)
		if got := plugin.Logged(); !slices.Equal(got, want) {
			t.Errorf("logging %v shows %q, want %q", logging, got, want)
		}
	}
}

func TestALineThatTheOfficialPluginCannotShowFails(t *testing.T) {
	plugintest.NotOfTheOfficialPlugin(t)
	err := plugintest.Start(t).Resource(localCommand).Create(map[string]any{"create": "head -c 70000 /dev/zero | tr '\\0' x"})
	if err == nil {
		t.Fatal("a line of 70,000 bytes passed")
	}
	contains(t, err.Error(), "set logging to none")
}

func TestALongLineThatIsNotShownIsKept(t *testing.T) {
	command := plugintest.Start(t).Resource(localCommand).Created(map[string]any{
		"create": "head -c 70000 /dev/zero | tr '\\0' x", "logging": "none",
	})
	equal(t, "length of stdout", len(command.Text("stdout")), 70000)
}

func TestAnInterruptKillsTheCommand(t *testing.T) {
	plugin := plugintest.Start(t)
	started := filepath.Join(t.TempDir(), "started")
	failed := make(chan error, 1)
	go func() {
		failed <- plugin.Resource(localCommand).Create(map[string]any{"create": "echo > " + started + "; exec sleep 60"})
	}()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(started); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the command did not start")
		}
	}
	plugin.Interrupt()
	select {
	case err := <-failed:
		if err == nil {
			t.Fatal("an interrupted command passed")
		}
		contains(t, err.Error(), "killed")
	case <-time.After(20 * time.Second):
		t.Fatal("the command ran on")
	}
}

func TestAnUnchangedCommandHasNoDiff(t *testing.T) {
	command := plugintest.Start(t).Resource(localCommand).Created(map[string]any{"create": "true", "triggers": []any{"a"}})
	if changes := command.Diff(map[string]any{"create": "true", "triggers": []any{"a"}}); len(changes) > 0 {
		t.Errorf("changed: %v", changes)
	}
}

func TestAChangedCommandIsUpdated(t *testing.T) {
	command := plugintest.Start(t).Resource(localCommand).Created(map[string]any{"create": "true"})
	changes := command.Diff(map[string]any{"create": "true ", "environment": map[string]any{"A": "b"}})
	equal(t, "the change of create", changes["create"], "UPDATE")
	equal(t, "the change of environment", changes["environment"], "ADD")
}

func TestFirstTriggersReplace(t *testing.T) {
	command := plugintest.Start(t).Resource(localCommand).Created(map[string]any{"create": "true"})
	equal(t, "the change", command.Diff(map[string]any{"create": "true", "triggers": []any{"a"}})["triggers"], "ADD_REPLACE")
}

// The SDK asks the engine to replace for every change of a trigger; the plugin itself calls this an update.
func TestAChangedTriggerIsAnUpdateToThePlugin(t *testing.T) {
	command := plugintest.Start(t).Resource(localCommand).Created(map[string]any{"create": "true", "triggers": []any{"a"}})
	equal(t, "the change", command.Diff(map[string]any{"create": "true", "triggers": []any{"b"}})["triggers[0]"], "UPDATE")
}

func TestAnUnknownPropertyIsRefusedByName(t *testing.T) {
	reasons, err := plugintest.Start(t).Resource(localCommand).Check(map[string]any{"create": "true", "sudo": true})
	if err != nil || len(reasons) != 1 {
		t.Fatalf("want one objection, got %v, %v", reasons, err)
	}
	contains(t, reasons[0], "sudo")
}

func TestWhatTheStandInLacksIsRefusedByName(t *testing.T) {
	plugintest.NotOfTheOfficialPlugin(t)
	reasons, err := plugintest.Start(t).Resource(localCommand).Check(map[string]any{"create": "true", "assetPaths": []any{"*"}})
	if err != nil || len(reasons) != 1 {
		t.Fatalf("want one objection, got %v, %v", reasons, err)
	}
	contains(t, reasons[0], "assetPaths")
}

func TestAnUnknownTypeIsRefusedByName(t *testing.T) {
	_, err := plugintest.Start(t).Resource("command:local:Daemon").Check(map[string]any{})
	if err == nil {
		t.Fatal("an unknown type passed")
	}
	contains(t, err.Error(), "local:Daemon")
}
