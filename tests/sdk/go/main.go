// What every SDK does here, in Go; one source for all generations of the SDK (v0.9 and v0.21 hold a go.mod each).
// The answer is one line of JSON on stdout, which sdk_test.py compares.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"dagger.io/dagger"
)

type failure struct {
	ExitCode int    `json:"exitCode"`
	Stdout   string `json:"stdout"`
	Stderr   string `json:"stderr"`
}

type answer struct {
	Stdout   string   `json:"stdout"`
	Contents string   `json:"contents"`
	Entries  []string `json:"entries"`
	Variable string   `json:"variable"`
	Command  string   `json:"command"`
	Failure  *failure `json:"failure"`
}

func pipeline(ctx context.Context, client *dagger.Client) (*answer, error) {
	source := client.Host().Directory(os.Getenv("TEST_SOURCE"), dagger.HostDirectoryOpts{Exclude: []string{"*.skip"}})
	built := client.Container().
		From(os.Getenv("TEST_IMAGE")).
		WithMountedDirectory("/src", source).
		WithWorkdir("/src").
		WithEnvVariable("GREETING", "hello").
		WithExec([]string{"sh", "-c", `cat in.txt && echo "$GREETING from $(pwd)" > out.txt`})

	made := client.Directory().WithNewFile("deep/made.txt", "made by the API\n")
	if _, err := built.Directory("/src").WithDirectory("made", made).Export(ctx, os.Getenv("TEST_EXPORT")); err != nil {
		return nil, err
	}

	result := &answer{}
	var err error
	var exec *dagger.ExecError
	_, err = built.WithExec([]string{"sh", "-c", "echo partial; echo reason >&2; exit 7"}).Stdout(ctx)
	if !errors.As(err, &exec) {
		return nil, fmt.Errorf("not an ExecError: %w", err)
	}
	result.Failure = &failure{exec.ExitCode, strings.TrimSpace(exec.Stdout), strings.TrimSpace(exec.Stderr)}

	if result.Stdout, err = built.Stdout(ctx); err != nil {
		return nil, err
	}
	if result.Contents, err = built.File("/src/out.txt").Contents(ctx); err != nil {
		return nil, err
	}
	if result.Entries, err = built.Directory("/src").Entries(ctx); err != nil {
		return nil, err
	}
	if result.Variable, err = built.EnvVariable(ctx, "GREETING"); err != nil {
		return nil, err
	}
	command := built.WithEntrypoint([]string{"echo"}).WithExec([]string{"echo", "x"})
	result.Command, err = command.Stdout(ctx)
	return result, err
}

func run(ctx context.Context) error {
	client, err := dagger.Connect(ctx, dagger.WithLogOutput(os.Stderr))
	if err != nil {
		return err
	}
	result, err := pipeline(ctx, client)
	if err != nil {
		client.Close()
		return err
	}
	if err := client.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
