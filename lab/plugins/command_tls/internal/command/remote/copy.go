package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/pkg/sftp"
	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi-go-provider/infer/types"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// CopyToRemote is `command:remote:CopyToRemote` for single files: archives and directories are refused. Deleting it
// leaves the copy in place.
type CopyToRemote struct{}

// CopyInputs are what a program can set.
type CopyInputs struct {
	Connection Connection           `pulumi:"connection" provider:"secret"`
	Triggers   *[]any               `pulumi:"triggers,optional" provider:"replaceOnChanges"`
	Source     types.AssetOrArchive `pulumi:"source"`
	RemotePath string               `pulumi:"remotePath"`
}

// CopyState is what the engine keeps.
type CopyState struct{ CopyInputs }

// Check refuses anything but a file or a text.
func (CopyToRemote) Check(ctx context.Context, req infer.CheckRequest) (infer.CheckResponse[CopyInputs], error) {
	inputs, failures, err := infer.DefaultCheck[CopyInputs](ctx, req.NewInputs)
	source, given := req.NewInputs.GetOk("source")
	if asset := inputs.Source.Asset; given && !source.HasComputed() && (asset == nil || !asset.IsPath() && !asset.IsText()) {
		failures = append(failures, provider.CheckFailure{
			Property: "source", Reason: "the lab's stand-in copies a FileAsset or a StringAsset only",
		})
	}
	return infer.CheckResponse[CopyInputs]{Inputs: inputs, Failures: failures}, err
}

// Create copies the file.
func (CopyToRemote) Create(ctx context.Context, req infer.CreateRequest[CopyInputs]) (infer.CreateResponse[CopyState], error) {
	response := infer.CreateResponse[CopyState]{Output: CopyState{req.Inputs}}
	if req.DryRun {
		return response, nil
	}
	if err := req.Inputs.copy(ctx); err != nil {
		return response, err
	}
	var err error
	response.ID, err = resource.NewUniqueHex("", idBytes, 0)
	return response, err
}

// Update copies the file again if it or its place has changed.
func (CopyToRemote) Update(ctx context.Context, req infer.UpdateRequest[CopyInputs, CopyState]) (infer.UpdateResponse[CopyState], error) {
	response := infer.UpdateResponse[CopyState]{Output: CopyState{req.Inputs}}
	if req.DryRun ||
		req.Inputs.Source.Asset.Hash == req.State.Source.Asset.Hash && req.Inputs.RemotePath == req.State.RemotePath {
		return response, nil
	}
	return response, req.Inputs.copy(ctx)
}

// copy writes the file and the directories above it. A file's name is added to a path that is a directory.
func (in CopyInputs) copy(ctx context.Context) error {
	var content io.Reader = strings.NewReader(in.Source.Asset.Text)
	if in.Source.Asset.IsPath() {
		file, err := os.Open(in.Source.Asset.Path)
		if err != nil {
			return err
		}
		defer file.Close()
		content = file
	}
	client, err := in.Connection.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	files, err := sftp.NewClient(client)
	if err != nil {
		return err
	}
	defer files.Close()

	target := in.RemotePath
	switch found, err := files.Stat(target); {
	case errors.Is(err, os.ErrNotExist):
		if err := files.MkdirAll(path.Dir(target)); err != nil {
			return fmt.Errorf("failed to create parent directories for %s: %w", target, err)
		}
	case err != nil:
		return fmt.Errorf("failed to stat remote path %s: %w", target, err)
	case found.IsDir() && in.Source.Asset.IsPath():
		target = path.Join(target, path.Base(in.Source.Asset.Path))
	case found.IsDir():
		return fmt.Errorf("remote path %s is a directory; when using a text asset, remotePath must be a file path", target)
	}
	remote, err := files.Create(target)
	if err != nil {
		return fmt.Errorf("failed to create remote file %s: %w", target, err)
	}
	defer remote.Close()
	if _, err := remote.ReadFrom(content); err != nil {
		return fmt.Errorf("failed to copy to remote path %s: %w", target, err)
	}
	return nil
}
